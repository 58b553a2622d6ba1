"""What a daemon is told: the values behind the flags, FEDSM_* variables and the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fedsm.chains.base import ClockWindow, ProposedParameters
from fedsm.chains.ocean import HashPolicy
from fedsm.chains.selection import ChainKind
from fedsm.federation_file import FederationFile
from fedsm.hsm import HsmAccess
from fedsm.reissue.config import ReissueConfig
from fedsm.trace.settings import DEFAULT_TRACE, TraceSettings
from fedsm.web.settings import DEFAULT_HTTP, HttpSettings
from transports.kafka_settings import KafkaSettings

DEFAULT_RPC_PORT = 7041
DEFAULT_INTERVAL_MS = 60_000
GUARD_FILE = "guard.sqlite"
DEFAULT_DATA_DIRECTORY = Path("~/.fedsm")
# An honest node's block time is its own clock or, on a chain that ran ahead, the median time of the last blocks.
DEFAULT_WINDOW = ClockWindow(max_past_ms=10 * 60_000, max_future_ms=2 * 60_000)


@dataclass(frozen=True)
class NodeAccess:
    """How to reach the member's node. Either ``cookie_file``, or ``user`` and ``password``."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_RPC_PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    cookie_file: Path | None = None
    wallet: str | None = None

    @property
    def url(self) -> str:
        """The node's RPC URL, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True)
class DaemonConfig:
    """One member's daemon. ``member`` counts from 0 in the order of the keys in the block-signing script.

    ``nodes`` is the list of member addresses, "host:port,host:port,..."; ``transports`` are "zmq", which needs
    them, or "kafka", which needs ``kafka``, or both. ``key_file`` or ``hsm`` holds the block-signing key; without
    either and without FEDSM_KEY in the environment the node's wallet signs. ``vote_quorum`` None means
    the default for M and N; ``threshold``, if given, must be the chain's M. ``witness_script`` is the multisig
    behind a P2WSH federation, where the chain does not tell it. ``curve_key_file`` holds this member's CURVE key
    pair, needed when the federation file names the members' CURVE keys. ``chain`` is the kind of node, found out
    from it with "auto"; ``hash_policy`` is for Ocean (see OceanChain). ``http`` is where health and metrics are
    served, None for nowhere. ``trace`` None keeps no trace.
    """

    member: int
    nodes: str
    node: NodeAccess = NodeAccess()
    interval_ms: int = DEFAULT_INTERVAL_MS
    data_directory: Path = DEFAULT_DATA_DIRECTORY
    key_file: Path | None = None
    hsm: HsmAccess | None = None
    vote_quorum: int | None = None
    threshold: int | None = None
    witness_script: bytes | None = None
    min_tx_age_s: int = 0
    window: ClockWindow = DEFAULT_WINDOW
    proposed: ProposedParameters | None = None
    federation: FederationFile | None = None
    transports: tuple[str, ...] = ("zmq",)
    curve_key_file: Path | None = None
    kafka: KafkaSettings | None = None
    http: HttpSettings | None = DEFAULT_HTTP
    trace: TraceSettings | None = DEFAULT_TRACE
    reissue: ReissueConfig | None = None
    chain: ChainKind = "auto"
    hash_policy: HashPolicy = "node"


def state_directory(data_directory: Path, genesis: str, public_key: bytes) -> Path:
    """Where a key's state on a chain is kept: one directory for each, so that chains and keys never mix."""
    return data_directory.expanduser() / genesis[:16] / public_key.hex()[:16]


def guard_path(data_directory: Path, genesis: str, public_key: bytes) -> Path:
    """The guard file of a key on a chain."""
    return state_directory(data_directory, genesis, public_key) / GUARD_FILE
