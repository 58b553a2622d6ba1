"""For programs: the keys and script of a federation, one member's daemon in a thread, and assets to pay with.

The names and arguments are those of CommerceBlock's ``federation`` package and its demo, so that programs written
for it go on working; the classes are thin over the parts that the commands use.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedsm.access import open_rpc
from fedsm.chains.base import ChainError
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import Multisig
from fedsm.clients.base import SATOSHI, ClientError
from fedsm.clients.opening import open_clients
from fedsm.clients.traffic import Traffic
from fedsm.config import DEFAULT_DATA_DIRECTORY, DEFAULT_INTERVAL_MS, DEFAULT_RPC_PORT, DaemonConfig, NodeAccess
from fedsm.daemon import Daemon
from fedsm.errors import FedsmError
from fedsm.log import get_logger
from fedsm.pace import interval_of
from fedsm.reissue.config import ReissueConfig, configure_reissue
from fedsm.reissue.strategy import ReissueError
from fedsm.web.settings import OFF, parse_http
from signers.base import Signer
from signers.software import SoftwareSigner, encode_wif, generate_key
from transports.kafka_settings import DEFAULT_SERVERS, KafkaSettings, parse_servers

WIF_PREFIX_TEST = 239
ISSUANCE_SATOSHI = 10_000_000 * SATOSHI


class MultiSig:
    """New keys for ``nodes`` members and the script of which ``sigs`` must sign.

    ``keys`` are the private keys (32 bytes each, from the system's random source), ``wifs`` the same in WIF with
    version byte ``wif_prefix``, ``public_keys`` the compressed public keys (33 bytes), ``script`` the bare
    multisig script in hex. Raises ScriptError for numbers that make no multisig.
    """

    def __init__(self, nodes: int, sigs: int, compressed: bool = True, wif_prefix: int = WIF_PREFIX_TEST) -> None:
        if not compressed:
            raise ValueError("block-signing scripts are made of compressed keys only")
        self.num_of_nodes = nodes
        self.num_of_sigs = sigs
        self.is_compressed = compressed
        self.wif_prefix = wif_prefix
        self.keys = [generate_key() for _ in range(nodes)]
        self.wifs = [encode_wif(key, wif_prefix) for key in self.keys]
        self.public_keys = [SoftwareSigner(key).public_key for key in self.keys]
        self.script = Multisig(sigs, tuple(self.public_keys)).script.hex()


class BlockSigning(threading.Thread):
    """One member's signing daemon, to ``start``, ``stop`` and ``join``.

    ``conf`` holds id, rpcuser and rpcpassword (or rpccookiefile), and may hold rpcconnect, rpcport, blocktime
    (seconds), keyfile, datadir, http ("host:port" where health and metrics are served), nsigs, which must then be
    the chain's M, msgtype ("zmq" or "kafka") with kafka (the brokers, "host:port,..."), and reissuanceprivkey.
    ``nodes`` lists the members' addresses "host:port"; without any msgtype is kafka. ``signer`` replaces key file
    and node wallet. After the thread has ended, ``error`` is the FedsmError that ended it, None if it was stopped.
    With an ``in_rate`` above 0 (growth in a year; best as text, "0.05") assets are reissued every ``in_period``
    blocks to ``in_address`` by the keys of ``script``, as docs/reissuance.md says.
    Raises ValueError for a block time out of range and for a reissuance schedule that is none, TransportError for
    a malformed broker, FedsmError for an address of http that is none.
    """

    def __init__(
        self,
        conf: Mapping[str, Any],
        nodes: Sequence[str],
        in_rate: float | str = 0,
        in_period: int = 0,
        in_address: str = "",
        script: str = "",
        signer: Signer | None = None,
    ) -> None:
        super().__init__(name=f"member-{conf['id']}", daemon=True)
        config = _config(conf, nodes)
        if float(in_rate) > 0:
            schedule = _schedule(conf, str(in_rate), in_period, in_address, script, config.interval_ms)
            config = replace(config, reissue=schedule)
        self._daemon = Daemon(config, get_logger(member=conf["id"]), signer=signer)
        self.error: FedsmError | None = None

    def run(self) -> None:
        """The thread's work; call ``start``."""
        try:
            self._daemon.run()
        except FedsmError as error:
            self.error = error

    def stop(self) -> None:
        """Ask the daemon to end; ``join`` waits for it."""
        self._daemon.stop()

    def stopped(self) -> bool:
        """Whether the daemon has been started and has ended, by itself or after ``stop``."""
        return self.ident is not None and not self.is_alive()


class AssetIssuance(Traffic):
    """Issues an asset, and once started pays some of it to and fro every ``interval`` seconds, in a thread.

    ``conf`` holds what BlockSigning's says of the node, and may hold rpcwallet. The node's wallet issues and pays
    if it has money; without one, new keys do, from coins that anyone can spend, as new chains have them.
    ``asset`` is the id; nobody can reissue it. ``payments`` are those made last, ``trouble`` says why the last one
    was not. Raises FedsmError when nothing could be issued.
    """

    def __init__(self, conf: Mapping[str, Any], interval: float) -> None:
        try:
            clients = open_clients(open_rpc(_access(conf)))
            self.asset = clients.issue(ISSUANCE_SATOSHI)
        except (ClientError, ChainError, RpcError, RpcUnavailable) as error:
            raise FedsmError(f"no asset was issued: {error}") from None
        super().__init__(clients, [self.asset], interval)


def _config(conf: Mapping[str, Any], nodes: Sequence[str]) -> DaemonConfig:
    key_file = conf.get("keyfile")
    addresses = ",".join(node for node in nodes if node)
    transport = conf.get("msgtype", "zmq" if addresses else "kafka")
    if transport not in ("zmq", "kafka"):
        raise ValueError(f"msgtype is {transport!r}, not zmq or kafka")
    servers = parse_servers(conf.get("kafka", DEFAULT_SERVERS))
    return DaemonConfig(
        member=int(conf["id"]),
        nodes=addresses,
        transports=(transport,),
        kafka=KafkaSettings(servers) if transport == "kafka" else None,
        node=_access(conf),
        interval_ms=interval_of(float(conf["blocktime"])) if "blocktime" in conf else DEFAULT_INTERVAL_MS,
        data_directory=Path(conf.get("datadir", DEFAULT_DATA_DIRECTORY)),
        key_file=None if key_file is None else Path(key_file),
        threshold=conf.get("nsigs"),
        http=parse_http(conf.get("http", OFF), None),
    )


def _access(conf: Mapping[str, Any]) -> NodeAccess:
    cookie = conf.get("rpccookiefile")
    return NodeAccess(
        host=conf.get("rpcconnect", "127.0.0.1"),
        port=int(conf.get("rpcport", DEFAULT_RPC_PORT)),
        user=conf.get("rpcuser"),
        password=conf.get("rpcpassword"),
        cookie_file=None if cookie is None else Path(cookie),
        wallet=conf.get("rpcwallet"),
    )


def _schedule(
    conf: Mapping[str, Any], rate: str, period: int, address: str, script: str, interval_ms: int
) -> ReissueConfig:
    given = {
        "inflationrate": rate,
        "inflationperiod": period,
        "inflationaddress": address,
        "reissuancescript": script,
        "reissuanceprivkey": conf.get("reissuanceprivkey", ""),
        "on_reissue_failure": "continue",
    }
    try:
        return configure_reissue(given, None, interval_ms)
    except ReissueError as error:
        raise ValueError(str(error)) from None
