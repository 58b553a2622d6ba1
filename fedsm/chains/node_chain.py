"""What the profiles of Elements and Ocean have in common: their nodes answer most RPCs alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from fedsm.chains.base import ChainError, ChainIdentity, FederationScript, Judgement, Submission, Tip
from fedsm.chains.header import Block, BlockHeader, DecodeError, Layout, parse_block, parse_header
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.rules import (
    content_objection,
    federation_objection,
    position_objection,
    size_objection,
    time_objection,
)
from fedsm.chains.script import Multisig, ScriptError, assemble_solution, assemble_witness, parse_multisig
from signers.ecdsa import verify_der

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedsm.chains.base import ClockWindow, ProposedParameters
    from fedsm.chains.rpc import RpcCaller

T = TypeVar("T")

# JSON-RPC error codes of the nodes (src/rpc/protocol.h)
INVALID_PARAMETER = -8
DESERIALIZATION_ERROR = -22
VERIFY_ERROR = -25
ALREADY_IN_CHAIN = -27

# What is standard is for a node's mempool to say, not for a block: by default testproposedblock refuses even the
# OP_RETURN data that the same node's mempool takes and getnewblockhex includes, and one such transaction would
# make every member refuse every proposal (measured on Elements 28.99).
ACCEPT_NONSTANDARD = True

ALREADY_HAVE = "already have block"  # Elements says it with code -27, Ocean with -25
NOT_ON_TIP = "proposal was not based on our best chain"
LONG_POLL_GRACE_MS = 10_000


class NodeChain(ABC):
    """A node's chain. Profiles add how they find the federation and the tip, how blocks are built, and the layout
    of headers; ``name`` is what the operator calls the profile."""

    name: str

    def __init__(self, rpc: RpcCaller) -> None:
        self._rpc = rpc
        self._genesis_header: BlockHeader | None = None

    def identify(self) -> ChainIdentity:
        """Genesis hash, chain name and version by getblockhash, getblockchaininfo and getnetworkinfo."""
        self._genesis_header = None  # after a restart it may be another chain's node
        network = self._rpc.call("getnetworkinfo")
        return ChainIdentity(
            genesis=self._genesis().hash,
            chain_name=self._field(self._info(), "chain", str),
            version=self._field(network, "version", int),
        )

    @abstractmethod
    def federation(self) -> FederationScript:
        """Who signs the block after the tip."""

    @abstractmethod
    def tip(self) -> Tip:
        """The node's best block now."""

    @abstractmethod
    def build_block(
        self,
        parent: str,
        min_tx_age: int = 0,
        proposed: ProposedParameters | None = None,
        commit_data: bytes | None = None,
    ) -> bytes:
        """A new unsigned block on ``parent``."""

    def first_block_time(self) -> int | None:
        """The time of block 1, which the schedule of a chain follows from."""
        try:
            block_hash = self._rpc.call("getblockhash", [1])
        except RpcError as error:
            if error.code == INVALID_PARAMETER:  # height out of range: there is none yet
                return None
            raise
        return self._field(self._rpc.call("getblockheader", [block_hash]), "time", int)

    def wait_for_height(self, height: int, timeout_ms: int) -> Tip | None:
        """Long poll by waitforblockheight, which answers at once when the height is there already.

        waitfornewblock would miss a block that comes between two calls.
        """
        limit_ms = timeout_ms + LONG_POLL_GRACE_MS
        reached = self._rpc.call("waitforblockheight", [height, timeout_ms], timeout_ms=limit_ms)
        return self.tip() if self._field(reached, "height", int) >= height else None

    def block_hash(self, block: bytes) -> str:
        """The hash of a whole block; DecodeError if it is none."""
        return parse_block(block, layout=self._layout()).header.hash

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
        """Our own rules first, cheapest first; then the node's by testproposedblock."""
        try:
            layout = self._layout()
            oversize = size_objection(block)
            if oversize is not None:
                return Judgement("invalid", oversize)
            header = parse_block(block, layout=layout).header
            objection = (
                position_objection(header, tip, height_in_header=layout != "heightless")
                or federation_objection(header, federation)
                or content_objection(header, approved)
                or (time_objection(header, now_ms, window) if timely else None)
                or self._own_objection(header, tip)
            )
            if objection is not None:
                return Judgement("invalid", objection)
            return self._ask_node(block, header.hash, tip)
        except DecodeError as error:
            return Judgement("invalid", f"undecodable: {error}")
        except (RpcUnavailable, RpcError, ChainError) as error:
            return Judgement("unavailable", str(error))

    def combine(self, block: bytes, federation: FederationScript, signatures: Mapping[int, bytes]) -> bytes:
        """Our own assembly; the bytes are those that combineblocksigs gives for the same signatures."""
        unsigned = parse_block(block, layout=self._layout())
        if unsigned.header.dynafed != federation.dynafed:
            raise ChainError("the block and the federation are not of one form (legacy or dynafed)")
        multisig, digest = federation.multisig, unsigned.header.digest
        for member, der in sorted(signatures.items()):
            if 0 <= member < multisig.n and not verify_der(multisig.public_keys[member], digest, der):
                raise ChainError(f"the signature of member {member} is not for block {unsigned.header.hash}")
        if federation.dynafed:
            signed = unsigned.with_witness(assemble_witness(multisig, signatures))
        else:
            signed = unsigned.with_solution(assemble_solution(multisig, signatures))
        size = signed.header.signed_size()
        if size > federation.max_block_witness:
            raise ChainError(f"the proof takes {size} bytes, the chain allows {federation.max_block_witness}")
        return signed.serialize()

    def submit(self, block: bytes) -> Submission:
        """submitblock, which tells a refusal by a string result and not by an error."""
        try:
            result = self._rpc.call("submitblock", [block.hex()])
        except RpcUnavailable as error:
            return Submission("unavailable", str(error))
        except RpcError as error:
            undecodable = error.code == DESERIALIZATION_ERROR
            return Submission("rejected" if undecodable else "unavailable", str(error))
        if result is None:
            return Submission("accepted")
        if result == "duplicate":
            return Submission("duplicate", result)
        return Submission("fork" if result == "inconclusive" else "rejected", str(result))

    def hash_at(self, height: int) -> str:
        """The hash of the block at a height of the best chain."""
        return str(self._rpc.call("getblockhash", [height]))

    def block(self, block_hash: str) -> Block:
        """A block of the chain as it was stored. Raises ChainError when it cannot be read."""
        try:
            return parse_block(as_bytes(self._rpc.call("getblock", [block_hash, False])), layout=self._layout())
        except DecodeError as error:
            raise ChainError(f"the node's block {block_hash} is not of the {self.name} chain: {error}") from None

    @abstractmethod
    def _layout(self) -> Layout:
        """The layout of the chain's legacy headers."""

    def _own_objection(self, header: BlockHeader, tip: Tip) -> str | None:  # noqa: ARG002 - for profiles
        """What the profile has against a header beside the rules of all chains."""
        return None

    def _ask_node(self, block: bytes, block_hash: str, tip: Tip) -> Judgement:
        try:
            self._rpc.call("testproposedblock", [block.hex(), ACCEPT_NONSTANDARD])
        except RpcError as error:
            if error.code == ALREADY_IN_CHAIN or error.message == ALREADY_HAVE:
                ours = self._rpc.call("getbestblockhash") == block_hash
                what = "it is our tip" if ours else "stored before, as invalid or on a side branch"
                return Judgement("invalid", f"already-known: {what}")
            if error.code not in (VERIFY_ERROR, DESERIALIZATION_ERROR):
                raise
            if error.message == NOT_ON_TIP and self._rpc.call("getbestblockhash") != tip.block_hash:
                return Judgement("unavailable", "tip-moved: our node has a new best block")
            return Judgement("invalid", error.message)
        return Judgement("valid")

    def _new_block(self, parent: str, params: list[object]) -> bytes:
        """A block by getnewblockhex, which must be on ``parent``."""
        block = as_bytes(self._rpc.call("getnewblockhex", params))
        header = parse_block(block, layout=self._layout()).header
        if header.previous != parent:
            raise ChainError(f"the node builds on {header.previous}, not on {parent}: its tip has moved")
        return block

    def _info(self) -> Any:
        return self._rpc.call("getblockchaininfo")

    def _genesis(self) -> BlockHeader:
        """The genesis header; asked for once, for it never changes."""
        if self._genesis_header is None:
            self._genesis_header = self._header(self._rpc.call("getblockhash", [0]))
        return self._genesis_header

    def _header(self, block_hash: str) -> BlockHeader:
        """A header of the chain, by its hash."""
        data = as_bytes(self._rpc.call("getblockheader", [block_hash, False]))
        try:
            return self._read_header(data)
        except DecodeError as error:
            raise ChainError(f"the node's header {block_hash} is not of the {self.name} chain: {error}") from None

    def _read_header(self, data: bytes) -> BlockHeader:
        return parse_header(data, layout=self._layout())[0]

    def _field(self, answer: Any, name: str, kind: type[T]) -> T:
        value = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(value, kind):
            raise ChainError(
                f"the node's answer has no {name}: is it an {self.name.capitalize()} node of a signed-block chain?"
            )
        return value


def parse_federation(script: bytes) -> Multisig:
    """The members of a block-signing script; ChainError when it is none that is supported."""
    try:
        return parse_multisig(script)
    except ScriptError as error:
        raise ChainError(f"the chain's block-signing script {script.hex()} is not supported: {error}") from None


def as_bytes(answer: Any) -> bytes:
    """The bytes of a hex answer. Raises ChainError."""
    try:
        return bytes.fromhex(answer)
    except (TypeError, ValueError):
        raise ChainError("the node's answer is not the hex string it should be") from None
