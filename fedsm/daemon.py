"""One member's daemon: waits for its node, checks what it is told against the chain, then runs the engine."""

from __future__ import annotations

import queue
from contextlib import ExitStack, closing, suppress
from dataclasses import fields, replace
from pathlib import Path

from structlog.contextvars import bound_contextvars

from fedsm.access import open_rpc
from fedsm.assembly import Ground, Reissue, assemble, open_reissue, policy_of
from fedsm.chains.base import ChainError, ChainIdentity, ChainProfile, FederationScript
from fedsm.chains.rpc import NodeRpc, RpcCaller, RpcError, RpcUnavailable
from fedsm.chains.selection import open_chain
from fedsm.clock import SystemClock
from fedsm.config import GUARD_FILE, DaemonConfig, state_directory
from fedsm.engine import Engine
from fedsm.errors import FedsmError
from fedsm.keys import check_member, open_signer
from fedsm.log import Logger, get_logger
from fedsm.observe.station import Probes, Station
from fedsm.preflight import check_federation_file, quorum_of, witness_scripts
from fedsm.reissue.strategy import ReissueError
from fedsm.tips import TipFollower
from fedsm.version import __version__
from fedsm.web.server import serving
from signers.base import Signer, SignerError
from signers.guard import Guard, GuardError
from transports.base import TransportError
from transports.identity import IdentityError
from transports.nodes import parse_nodes

WAIT_S = 0.25
# What an operator may change without a restart: how this member makes and judges blocks.
CHANGEABLE = ("min_tx_age_s", "window", "proposed")


class Daemon:
    """A member's daemon. ``run`` blocks until ``stop`` is called from a signal handler or another thread.

    ``signer`` replaces the key file and the node's wallet; it is closed when ``run`` ends.
    """

    def __init__(self, config: DaemonConfig, log: Logger | None = None, *, signer: Signer | None = None) -> None:
        self.config = config
        self._given_signer = signer
        self._log = log or get_logger(member=config.member)
        self._stopping = False
        # Unlike an Event, it may be written to in a signal handler whatever the main thread is at.
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._engine: Engine | None = None
        self._station = Station(config.member, SystemClock(), self._log)
        self._trouble = ""

    def stop(self) -> None:
        """End ``run`` soon, whatever it is waiting for. Safe in a signal handler."""
        self._stopping = True
        self._wakeup.put(None)
        if self._engine is not None:
            self._engine.stop()

    @property
    def station(self) -> Station:
        """What may be known of this daemon, from its start on."""
        return self._station

    def since_pulse_ms(self) -> int:
        """Milliseconds since the engine last turned, 0 while it does not run; callable from any thread."""
        engine = self._engine
        return 0 if engine is None else max(0, SystemClock().steady_ms() - engine.turned_ms)

    def reload(self, config: DaemonConfig) -> None:
        """Take over what may change while we run; say what of the rest differs. Callable from any thread."""
        own = self.config
        changeable = {name: getattr(config, name) for name in CHANGEABLE}
        fixed = [
            field.name
            for field in fields(DaemonConfig)
            if field.name not in (*CHANGEABLE, "member") and getattr(config, field.name) != getattr(own, field.name)
        ]
        if fixed:
            self._log.warning("reload_needs_restart", detail=f"changed, and kept: {', '.join(fixed)}")
        self.config = replace(own, **changeable)
        if self._engine is not None:
            self._engine.change_policy(policy_of(self.config))
        self._log.info("reloaded")

    def run(self) -> None:
        """Work until stopped. Raises FedsmError with one clear line when the daemon cannot or must not go on."""
        self._check_nodes()
        with (
            closing(open_rpc(self.config.node)) as rpc,
            serving(self.config.http, self.config.member, self._station, self._log),
        ):
            self._run(rpc)

    def _run(self, rpc: NodeRpc) -> None:
        timed = self._station.timed(rpc)
        found = self._wait_for_node(timed)
        if found is None:
            return
        chain, identity, federation = found
        check_federation_file(self.config.federation, identity, federation)
        self._wrap_member(federation.multisig.n)
        quorum = quorum_of(self.config, federation)
        signer = self._signer(rpc, federation)
        try:
            directory = self._directory(identity, signer)
            with (
                Guard.open(directory / GUARD_FILE, identity.genesis, signer.public_key) as guard,
                bound_contextvars(member=self.config.member),  # for the lines of the transports
            ):
                ground = Ground(chain, identity, federation, quorum, signer, guard, directory)
                reissue = self._reissue(ground, timed)
                with ExitStack() as own:
                    if reissue is not None and reissue.own_signer is not None:
                        own.callback(reissue.own_signer.close)
                    self._serve(replace(ground, reissue=reissue))
        except (GuardError, IdentityError, SignerError, TransportError) as error:
            raise FedsmError(str(error)) from None
        finally:
            signer.close()

    # --- before the first round

    def _check_nodes(self) -> None:
        """Refuse a malformed --nodes now, and not only when the node has answered."""
        nodes = self.config.nodes
        if "zmq" not in self.config.transports:
            return
        try:
            parse_nodes(nodes, self.config.member % (nodes.count(",") + 1))
        except TransportError as error:
            raise FedsmError(str(error)) from None

    def _wait_for_node(self, rpc: RpcCaller) -> tuple[ChainProfile, ChainIdentity, FederationScript] | None:
        """The chain and its federation, as soon as the node answers and has the chain; None if stopped before.

        On the way to the tip a node may name a federation that is long gone, which our key is not of.
        """
        scripts, hash_policy = witness_scripts(self.config), self.config.hash_policy
        while not self._stopping:
            try:
                chain = open_chain(rpc, self.config.chain, witness_scripts=scripts, hash_policy=hash_policy)
                identity = chain.identify()
                if not chain.tip().syncing:
                    return chain, identity, chain.federation()
                self._say_waiting("the node is syncing: it lacks blocks whose headers it has")
            except RpcUnavailable as error:
                if error.kind == "unauthorised" and self.config.node.cookie_file is None:
                    raise FedsmError(f"{error} (--rpcuser, --rpcpassword)") from None
                self._say_waiting(str(error))
            except (RpcError, ChainError) as error:
                raise FedsmError(f"node at {self.config.node.url}: {error}") from None
            self._wait()
        return None

    def _wait(self) -> None:
        with suppress(queue.Empty):
            self._wakeup.get(timeout=WAIT_S)

    def _say_waiting(self, reason: str) -> None:
        if reason != self._trouble:
            self._trouble = reason
            self._station.waiting(reason)
            self._log.warning("waiting_for_node", detail=reason)

    def _wrap_member(self, members: int) -> None:
        """An --id beyond N - 1 is taken modulo N, as the daemon before fedsm took it."""
        if self.config.member >= members:
            wrapped = self.config.member % members
            self._log.warning("id_wrapped", detail=f"--id {self.config.member} of {members} members is {wrapped}")
            self.config = replace(self.config, member=wrapped)
            self._log = self._log.bind(member=wrapped)

    def _signer(self, rpc: NodeRpc, federation: FederationScript) -> Signer:
        if self._given_signer is None:
            return open_signer(self.config, rpc, federation, self._log)
        check_member(self.config.member, self._given_signer.public_key, federation.multisig)
        return self._given_signer

    def _directory(self, identity: ChainIdentity, signer: Signer) -> Path:
        directory = state_directory(self.config.data_directory, identity.genesis, signer.public_key)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FedsmError(f"cannot make the data directory {directory}: {error.strerror}") from None
        return directory

    def _reissue(self, ground: Ground, rpc: RpcCaller) -> Reissue | None:
        """Our part in the reissuance schedule, if there is one; blocks are signed without it when it is wrong."""
        config = self.config.reissue
        while config is not None and not self._stopping:
            try:
                reissue = open_reissue(config, rpc, ground, self.config.member)
            except ReissueError as error:
                if not error.passing:
                    if config.halt:
                        raise FedsmError(str(error)) from None
                    self._log.error("reissuance_off", detail=str(error))
                    return None
                self._say_waiting(str(error))
            else:
                rate, period = config.inflation.rate, config.inflation.period
                self._log.info("reissuing", rate=rate, period=period, token_address=reissue.address)
                return reissue
            self._wait()
        return None

    # --- at work

    def _serve(self, ground: Ground) -> None:
        engine, transport = assemble(self.config, ground, self._log, self._station)
        tips = TipFollower(ground.chain, engine.deliver_tip, self._log)
        self._engine = engine
        if self._stopping:
            return
        self._announce(ground)
        self._station.runs(Probes(lambda: engine.turned_ms, lambda: tips.trouble, transport.status))
        try:
            transport.start(engine.deliver_data)
            tips.start()
            engine.run()
        finally:
            self._engine = None
            tips.close()
            transport.close()
            self._log.info("stopped")

    def _announce(self, ground: Ground) -> None:
        self._log.info(
            "started",
            version=__version__,
            chain=ground.identity.chain_name,
            genesis=ground.identity.genesis,
            members=ground.quorum.members,
            threshold=ground.quorum.threshold,
            quorum=ground.quorum.votes,
            public_key=ground.signer.public_key.hex(),
            interval_s=self.config.interval_ms / 1000,
            federation=None if self.config.federation is None else self.config.federation.digest,
            guard="empty" if ground.guard.is_empty else "has history",
        )
