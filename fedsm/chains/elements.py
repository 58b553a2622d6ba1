"""The chain profile of Elements nodes: bare multisig challenges before dynafed, P2WSH parameters after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import wallycore as wally

from fedsm.chains.base import ChainError, ChainIdentity, FederationScript, Judgement, Submission, Tip
from fedsm.chains.header import BlockHeader, DecodeError, parse_block, parse_header
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.rules import content_objection, federation_objection, position_objection, time_objection
from fedsm.chains.script import (
    LONGEST_LOW_S_DER,
    Multisig,
    ScriptError,
    assemble_solution,
    assemble_witness,
    parse_multisig,
)
from signers.ecdsa import verify_der

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fedsm.chains.base import ClockWindow, ProposedParameters
    from fedsm.chains.rpc import RpcCaller

T = TypeVar("T")

# JSON-RPC error codes of the node (src/rpc/protocol.h)
INVALID_PARAMETER = -8
DESERIALIZATION_ERROR = -22
VERIFY_ERROR = -25
ALREADY_IN_CHAIN = -27

# What is standard is for a node's mempool to say, not for a block: by default testproposedblock refuses even the
# OP_RETURN data that the same node's mempool takes and getnewblockhex includes, and one such transaction would
# make every member refuse every proposal (measured on 28.99).
ACCEPT_NONSTANDARD = True

NOT_ON_TIP = "proposal was not based on our best chain"
LONG_POLL_GRACE_MS = 10_000


class ElementsChain:
    """An Elements node's chain, as ChainProfile describes it.

    ``witness_scripts`` are the multisig scripts known for P2WSH federations: the present one, and before a
    rotation the next one too.
    """

    def __init__(self, rpc: RpcCaller, *, witness_scripts: Sequence[bytes] = ()) -> None:
        self._rpc = rpc
        self._witness_scripts = tuple(witness_scripts)
        self._genesis_header: BlockHeader | None = None

    def identify(self) -> ChainIdentity:
        """Genesis hash, chain name and version by getblockhash, getblockchaininfo and getnetworkinfo."""
        self._genesis_header = None  # after a restart it may be another chain's node
        network = self._rpc.call("getnetworkinfo")
        return ChainIdentity(
            genesis=self._genesis().hash,
            chain_name=_field(self._info(), "chain", str),
            version=_field(network, "version", int),
        )

    def federation(self) -> FederationScript:
        """The signers of the block after the tip, which getblockchaininfo's current_signblock_hex names."""
        info = self._info()
        script = _bytes(_field(info, "current_signblock_hex", str))
        dynafed = "current_params_root" in info
        if dynafed:
            multisig = self._find_witness_script(script, _field(info, "bestblockhash", str))
        else:
            multisig = _parse_federation(script)
        return FederationScript(
            multisig=multisig,
            dynafed=dynafed,
            max_signed_size=multisig.worst_case_size(dynafed=dynafed, longest_der=LONGEST_LOW_S_DER),
            signblockscript=script,
            max_block_witness=_field(info, "max_block_witness", int),
            params_root=_field(info, "current_params_root", str) if dynafed else None,
        )

    def tip(self) -> Tip:
        """The best block by getblockchaininfo.

        initialblockdownload alone says little: a fresh chain and one whose tip is a day old report it too,
        and both go on by signing. Only with headers beyond the tip is the node behind others.
        """
        info = self._info()
        height = _field(info, "blocks", int)
        behind = _field(info, "headers", int) > height
        return Tip(
            height=height,
            block_hash=_field(info, "bestblockhash", str),
            time=_field(info, "time", int),
            syncing=behind and _field(info, "initialblockdownload", bool),
        )

    def first_block_time(self) -> int | None:
        """The time of block 1, which the schedule of a chain follows from."""
        try:
            block_hash = self._rpc.call("getblockhash", [1])
        except RpcError as error:
            if error.code == INVALID_PARAMETER:  # height out of range: there is none yet
                return None
            raise
        return _field(self._rpc.call("getblockheader", [block_hash]), "time", int)

    def wait_for_height(self, height: int, timeout_ms: int) -> Tip | None:
        """Long poll by waitforblockheight, which answers at once when the height is there already.

        waitfornewblock would miss a block that comes between two calls.
        """
        limit_ms = timeout_ms + LONG_POLL_GRACE_MS
        reached = self._rpc.call("waitforblockheight", [height, timeout_ms], timeout_ms=limit_ms)
        return self.tip() if _field(reached, "height", int) >= height else None

    def block_hash(self, block: bytes) -> str:
        """The hash of a whole block; DecodeError if it is none."""
        return parse_block(block, height_in_header=self._height_in_header()).header.hash

    def build_block(
        self,
        parent: str,
        min_tx_age: int = 0,
        proposed: ProposedParameters | None = None,
        commit_data: bytes | None = None,
    ) -> bytes:
        """A block by getnewblockhex."""
        params: list[object] = [min_tx_age]
        if proposed is not None or commit_data is not None:
            params.append(None if proposed is None else proposed.for_rpc())
        if commit_data is not None:
            params.append([commit_data.hex()])
        block = _bytes(self._rpc.call("getnewblockhex", params))
        header = parse_block(block, height_in_header=self._height_in_header()).header
        if header.previous != parent:
            raise ChainError(f"the node builds on {header.previous}, not on {parent}: its tip has moved")
        return block

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
            height_in_header = self._height_in_header()
            header = parse_block(block, height_in_header=height_in_header).header
            objection = (
                position_objection(header, tip, height_in_header=height_in_header)
                or federation_objection(header, federation)
                or content_objection(header, approved)
                or (time_objection(header, now_ms, window) if timely else None)
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
        unsigned = parse_block(block, height_in_header=self._height_in_header())
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

    def _ask_node(self, block: bytes, block_hash: str, tip: Tip) -> Judgement:
        try:
            self._rpc.call("testproposedblock", [block.hex(), ACCEPT_NONSTANDARD])
        except RpcError as error:
            if error.code == ALREADY_IN_CHAIN:
                ours = self._rpc.call("getbestblockhash") == block_hash
                what = "it is our tip" if ours else "stored before, as invalid or on a side branch"
                return Judgement("invalid", f"already-known: {what}")
            if error.code not in (VERIFY_ERROR, DESERIALIZATION_ERROR):
                raise
            if error.message == NOT_ON_TIP and self._rpc.call("getbestblockhash") != tip.block_hash:
                return Judgement("unavailable", "tip-moved: our node has a new best block")
            return Judgement("invalid", error.message)
        return Judgement("valid")

    def _info(self) -> Any:
        return self._rpc.call("getblockchaininfo")

    def _genesis(self) -> BlockHeader:
        """The genesis header; asked for once, for it never changes."""
        if self._genesis_header is None:
            self._genesis_header = self._header(self._rpc.call("getblockhash", [0]))
        return self._genesis_header

    def _height_in_header(self) -> bool:
        """The chain's rule for legacy headers, told by its genesis header, which is a legacy one."""
        return self._genesis().height is not None

    def _header(self, block_hash: str) -> BlockHeader:
        data = _bytes(self._rpc.call("getblockheader", [block_hash, False]))
        try:
            return parse_header(data)[0]
        except DecodeError as error:
            raise ChainError(f"the node's header {block_hash} is not an Elements header: {error}") from None

    def _find_witness_script(self, program: bytes, tip_hash: str) -> Multisig:
        if len(program) != 34 or not program.startswith(b"\x00\x20"):
            raise ChainError(f"the chain's block-signing script {program.hex()} is not P2WSH: not supported")
        for script in self._candidate_scripts(tip_hash):
            if program == b"\x00\x20" + bytes(wally.sha256(script)):
                return _parse_federation(script)
        raise ChainError(
            f"the chain's block-signing script is the witness program {program.hex()}, and no script known here "
            "hashes to it: configure the federation's witness script (OP_M, the public keys, OP_N, "
            "OP_CHECKMULTISIG in hex)"
        )

    def _candidate_scripts(self, tip_hash: str) -> Iterator[bytes]:
        """Scripts to try, cheapest first: configured, the tip's own proof, the challenge the chain began with."""
        yield from self._witness_scripts
        tip = self._header(tip_hash)
        yield from tip.witness[-1:]
        yield tip.challenge
        yield self._genesis().challenge


def _parse_federation(script: bytes) -> Multisig:
    try:
        return parse_multisig(script)
    except ScriptError as error:
        raise ChainError(f"the chain's block-signing script {script.hex()} is not supported: {error}") from None


def _field(answer: Any, name: str, kind: type[T]) -> T:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise ChainError(f"the node's answer has no {name}: is it an Elements node of a signed-block chain?")
    return value


def _bytes(answer: Any) -> bytes:
    try:
        return bytes.fromhex(answer)
    except (TypeError, ValueError):
        raise ChainError("the node's answer is not the hex string it should be") from None
