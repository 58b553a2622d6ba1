"""Puts an engine together from its parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedsm.beacon import Beacon
from fedsm.chains.base import ChainIdentity, ChainProfile, FederationScript
from fedsm.chains.node_chain import NodeChain
from fedsm.chains.rpc import RpcCaller
from fedsm.clock import Clock, SystemClock
from fedsm.config import DaemonConfig
from fedsm.engine import Engine, Parts
from fedsm.errors import FedsmError
from fedsm.evidence import EvidenceLog
from fedsm.intake import Intake
from fedsm.links import make_transport
from fedsm.log import Logger
from fedsm.observe.station import About, Station
from fedsm.pace import timeouts_for
from fedsm.peers import Peers
from fedsm.reissue.config import ReissueConfig
from fedsm.reissue.curve import supply_curves
from fedsm.reissue.service import ReissueService
from fedsm.reissue.setup import BOOK_FILE, open_schedule, reissue_signer
from fedsm.reissue.strategy import ReissueError
from fedsm.services import BlockPolicy, NodeService, SigningService
from fedsm.trace import Origin, Trace, configuration_digest, open_trace
from fedsm.version import __version__
from signers.base import Signer
from signers.ecdsa import verify_der
from signers.guard import Guard
from states.messages import IdentityCertificate
from states.quorum import Quorum
from states.reissuance import ReissueTerms
from states.round import Round, Settings
from states.schedule import Schedule
from transports.base import Transport
from transports.envelope import Sealer
from transports.identity import Identity, load_or_certify, load_or_make_identity
from transports.opener import Opener
from transports.refusals import EnvelopeError

EPOCH = 0
# How long the leader of a reissuance has, before the next member takes over.
LEAST_TURN_MS, MOST_TURN_MS = 500, 10_000


@dataclass(frozen=True)
class Reissue:
    """Our part in a reissuance schedule. ``halt``: what is deferred ends the daemon.

    ``address`` is the one that tokens must be sent to. ``own_signer`` is there if the key is not the block-signing
    one, and is to be closed.
    """

    service: ReissueService
    terms: ReissueTerms
    halt: bool
    address: str
    own_signer: Signer | None = None


@dataclass(frozen=True)
class Ground:
    """What a daemon stands on once its node has answered and its key is known to be the right one."""

    chain: ChainProfile
    identity: ChainIdentity
    federation: FederationScript
    quorum: Quorum
    signer: Signer
    guard: Guard
    directory: Path
    reissue: Reissue | None = None

    @property
    def genesis(self) -> bytes:
        """The genesis hash in internal byte order."""
        return bytes.fromhex(self.identity.genesis)[::-1]


def policy_of(config: DaemonConfig) -> BlockPolicy:
    """What the operator allows in a block."""
    return BlockPolicy(config.window, config.min_tx_age_s, config.proposed)


def assemble(config: DaemonConfig, ground: Ground, log: Logger, station: Station) -> tuple[Engine, Transport]:
    """The engine, which ``station`` watches, and its transport, ready to be started.

    Raises FedsmError, TransportError, IdentityError or SignerError.
    """
    clock = SystemClock()
    digest = "" if config.federation is None else config.federation.digest
    transport = make_transport(config, ground.quorum.members, log)
    own, certificate = _own_identity(config.member, ground, clock)
    evidence = EvidenceLog(ground.directory / "evidence.jsonl")
    intake = Intake(_opener(config, ground, certificate), clock, log, evidence)
    schedule, timeouts = Schedule(config.interval_ms), timeouts_for(config.interval_ms)
    reissue = ground.reissue
    terms = None if reissue is None else reissue.terms
    core = Round(Settings(config.member, ground.quorum, schedule, timeouts, terms))
    peers = Peers(config.member, __version__, digest, log)
    book = ground.directory / BOOK_FILE
    about = About(
        ground.identity, ground.signer.public_key, digest, intake.refused, lambda: supply_curves(book)
    )
    parts = Parts(
        core=core,
        node=NodeService(ground.chain, policy_of(config), clock),
        signing=SigningService(ground.guard, ground.signer),
        guard=ground.guard,
        transport=transport,
        # Sequences must rise across restarts: the wall clock, with room for 65536 messages a millisecond.
        sealer=Sealer(ground.genesis, EPOCH, config.member, own.secret, clock.wall_ms() << 16),
        intake=intake,
        beacon=Beacon(core, certificate, __version__, intake.serials, digest),
        peers=peers,
        evidence=evidence,
        clock=clock,
        log=log,
        reissue=None if reissue is None else reissue.service,
        halt_on_deferral=reissue is not None and reissue.halt,
        trace=station.observing(_trace(config, ground, core.settings, clock, log), core.settings, peers, about),
    )
    return Engine(parts, config.member, ground.federation), transport


def open_reissue(config: ReissueConfig, rpc: RpcCaller, ground: Ground, member: int) -> Reissue:
    """Our part in a schedule. Raises ReissueError; ``passing`` when the node could not be asked."""
    if not isinstance(ground.chain, NodeChain):
        raise ReissueError("assets of this chain cannot be reissued")
    schedule = open_schedule(config, rpc, ground.chain, ground.identity.genesis, ground.directory)
    signer = reissue_signer(config, ground.signer)  # last: nothing after it fails and leaves it open
    inflation, multisig = config.inflation, config.multisig
    service = ReissueService(schedule.strategy, multisig, schedule.rate, schedule.policy, ground.guard, signer)
    turn_ms = min(max(inflation.interval_ms // 2, LEAST_TURN_MS), MOST_TURN_MS)
    terms = ReissueTerms(member, ground.quorum.members, multisig.m, inflation.period, turn_ms)
    own_signer = None if signer is ground.signer else signer
    return Reissue(service, terms, config.halt, schedule.address, own_signer)


def _trace(config: DaemonConfig, ground: Ground, settings: Settings, clock: Clock, log: Logger) -> Trace:
    origin = Origin(
        version=__version__,
        chain=ground.identity.genesis,
        federation="" if config.federation is None else config.federation.digest,
        script=hashlib.sha256(ground.federation.multisig.script).hexdigest(),
        configuration=configuration_digest(config),
        settings=settings,
    )
    return open_trace(config.trace, ground.directory, origin, clock, log)


def _own_identity(member: int, ground: Ground, clock: Clock) -> tuple[Identity, IdentityCertificate]:
    own = load_or_make_identity(ground.directory)
    certificate = load_or_certify(
        ground.directory,
        ground.signer.sign_text,
        chain=ground.genesis,
        member=member,
        public_key=ground.signer.public_key,
        identity_key=own.public_key,
        serial=clock.wall_ms(),
    )
    return own, certificate


def _opener(config: DaemonConfig, ground: Ground, certificate: IdentityCertificate) -> Opener:
    keys = ground.federation.multisig.public_keys

    def is_signature_of(member: int, block_hash: str, der: bytes) -> bool:
        return verify_der(keys[member], bytes.fromhex(block_hash)[::-1], der)

    opener = Opener(
        ground.genesis,
        EPOCH,
        keys,
        ground.quorum.votes,
        block_hash_of=ground.chain.block_hash,
        verify_block_signature=is_signature_of,
        pinned=None if config.federation is None else config.federation.identities,
    )
    try:
        opener.identities.learn(certificate)  # our own votes come back to us inside certificates
    except EnvelopeError:
        ours = certificate.identity_key.hex()
        raise FedsmError(
            f"the federation file pins another identity for member {config.member}; the one in "
            f"{ground.directory} is {ours}"
        ) from None
    return opener
