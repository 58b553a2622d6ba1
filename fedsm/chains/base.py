"""What every chain profile offers to the engine, and the values that pass between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import wallycore as wally

from fedsm.chains.header import DynafedEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedsm.chains.script import Multisig
    from states.events import Outcome, Verdict


class ChainError(Exception):
    """The chain, the node or the configuration cannot be worked with; the message says what to change."""


@dataclass(frozen=True)
class ChainIdentity:
    """Which chain a node serves: genesis block hash (display order), the node's name for it, its version.

    ``version`` is the number of getnetworkinfo (289900 for 28.99.0).
    """

    genesis: str
    chain_name: str
    version: int


@dataclass(frozen=True)
class FederationScript:
    """Who signs the next block, as the node's chain state has it.

    ``signblockscript`` is what the header must name: the multisig itself, or its P2WSH program when ``dynafed``.
    ``max_block_witness`` is the chain's limit for a block's proof in bytes, ``max_signed_size`` the most that
    low-S signatures of this multisig can take. ``params_root`` is the root of the current dynafed parameters
    (display order), ``None`` before dynafed.
    """

    multisig: Multisig
    dynafed: bool
    max_signed_size: int
    signblockscript: bytes
    max_block_witness: int
    params_root: str | None = None


@dataclass(frozen=True)
class Tip:
    """A node's best block. ``time`` is its header time in seconds since the Unix epoch.

    ``syncing``: the node knows of headers beyond this block and is still fetching their blocks.
    """

    height: int
    block_hash: str
    time: int
    syncing: bool


@dataclass(frozen=True)
class ClockWindow:
    """How far a proposal's time may lie behind and ahead of the member's own clock, in milliseconds."""

    max_past_ms: int
    max_future_ms: int


@dataclass(frozen=True)
class ProposedParameters:
    """A dynafed federation that the operator has configured and approves of (next signers, next peg script).

    ``signblockscript`` is the P2WSH program of the next multisig, ``extension_space`` the list of PAK entries.
    """

    signblockscript: bytes
    max_block_witness: int
    fedpegscript: bytes
    extension_space: tuple[bytes, ...]

    def entry(self) -> DynafedEntry:
        """The full header entry that a node writes for these parameters (its peg program is their P2WSH)."""
        return DynafedEntry(
            "full",
            self.signblockscript,
            self.max_block_witness,
            fedpeg_program=b"\x00\x20" + bytes(wally.sha256(self.fedpegscript)),
            fedpegscript=self.fedpegscript,
            extension_space=self.extension_space,
        )

    def for_rpc(self) -> dict[str, Any]:
        """The proposed_parameters object of getnewblockhex."""
        return {
            "signblockscript": self.signblockscript.hex(),
            "max_block_witness": self.max_block_witness,
            "fedpegscript": self.fedpegscript.hex(),
            "extension_space": [entry.hex() for entry in self.extension_space],
        }


@dataclass(frozen=True)
class Judgement:
    """A verdict on a proposed block. ``reason`` begins with a stable word, or is the node's own reason."""

    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Submission:
    """What a node did with a complete block; ``reason`` is the node's own word where it gave one."""

    outcome: Outcome
    reason: str = ""


class ChainProfile(Protocol):
    """The operations by which the engine works a chain, whatever its header and node.

    Unless said otherwise they raise RpcError or RpcUnavailable as the node gives them, and ChainError.
    Blocks are bytes as the node serialises them; hashes are in display order.
    """

    def identify(self) -> ChainIdentity:
        """Which chain this is."""

    def federation(self) -> FederationScript:
        """Who signs the block after the tip. ChainError when it is not a multisig or its script is unknown."""

    def tip(self) -> Tip:
        """The node's best block now."""

    def first_block_time(self) -> int | None:
        """The header time of block 1 in seconds, ``None`` while there is none."""

    def wait_for_height(self, height: int, timeout_ms: int) -> Tip | None:
        """Wait until the node's chain reaches ``height``; ``None`` when it has not within ``timeout_ms``.

        The tip may be another branch than the caller was on: compare its hash.
        """

    def block_hash(self, block: bytes) -> str:
        """The hash that members sign for this block. Raises DecodeError."""

    def build_block(
        self,
        parent: str,
        min_tx_age: int = 0,
        proposed: ProposedParameters | None = None,
        commit_data: bytes | None = None,
    ) -> bytes:
        """A new unsigned block on ``parent`` with transactions at least ``min_tx_age`` seconds old.

        ``proposed`` are dynafed parameters to vote for; ``commit_data`` goes into an OP_RETURN output of the
        coinbase. ChainError when the node builds on another block.
        """

    def judge(
        self,
        block: bytes,
        *,
        tip: Tip,
        federation: FederationScript,
        timely: bool,
        now_ms: int,
        window: ClockWindow,
        approved: ProposedParameters | None = None,
    ) -> Judgement:
        """Whether this member may vote for the block as the next after ``tip``; raises nothing.

        ``timely`` asks that the block's time lies within ``window`` of ``now_ms``. ``approved`` is the one
        dynafed proposal that the block may carry.
        """

    def combine(self, block: bytes, federation: FederationScript, signatures: Mapping[int, bytes]) -> bytes:
        """The complete block from DER signatures by member, each of which is verified first.

        Of more than M the first M by member number are taken. Raises ChainError or ScriptError, DecodeError.
        """

    def submit(self, block: bytes) -> Submission:
        """Hand a complete block to the node; raises nothing."""
