"""RPCs that make, judge, sign and submit blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.header import NULL_ENTRY, DynafedEntry
from fedsm.chains.reader import DecodeError
from fedsm.devnet.block import ParsedBlock, read_block
from fedsm.devnet.policy import check_standard
from fedsm.devnet.proof import combine, has_valid_proof
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rpc_base import (
    ALREADY_IN_CHAIN,
    DESERIALIZATION_ERROR,
    INVALID_PARAMETER,
    MISC_ERROR,
    VERIFY_ERROR,
    Context,
    Registry,
    RpcError,
    expect,
    from_hex,
    integer,
)
from fedsm.devnet.template import new_block

if TYPE_CHECKING:
    from fedsm.devnet.node import Node

REGISTRY = Registry()

_NOT_DYNAFED = "Dynamic federations is not active on this network. Proposed parameters are not needed."


@REGISTRY.method(
    'getnewblockhex ( min_tx_age {"signblockscript":"hex","max_block_witness":n,"fedpegscript":"hex",'
    '"extension_space":["",...]} ["",...] )',
    "min_tx_age:number?",
    "proposed_parameters:object?",
    "commit_data:?",
)
def getnewblockhex(context: Context, age: Any, parameters: dict[str, Any] | None, data: Any) -> str:
    """A new unsigned block on top of the tip, with the waiting transactions of at least that age (seconds)."""
    min_tx_age = 0 if age is None else integer(age)
    if min_tx_age < 0:
        raise RpcError(INVALID_PARAMETER, "min_tx_age must be non-negative.")
    node = context.node
    with node.lock:
        proposed = NULL_ENTRY if parameters is None else _proposal(node, parameters)
        commitments = [] if data is None else _commitments(data)
        try:
            template = new_block(
                node.chain,
                node.mempool,
                node.clock.now(),
                min_tx_age=min_tx_age,
                proposed=proposed,
                commitments=commitments,
            )
        except Rejection as rejection:
            message = f"CreateNewBlock: TestBlockValidity failed: {rejection}"
            raise RpcError(MISC_ERROR, message) from None
        node.last_template = template
    return template.block.serialize().hex()


@REGISTRY.method('testproposedblock "blockhex" ( acceptnonstd )', "blockhex:string", "acceptnonstd:bool?")
def testproposedblock(context: Context, blockhex: str, acceptnonstd: bool | None) -> None:
    """Check an unsigned block proposal: it must build on the tip and break no rule."""
    node = context.node
    block = decode_block(node, blockhex)
    with node.lock:
        if node.chain.knows(block.hash):
            raise RpcError(ALREADY_IN_CHAIN, "already have block")
        if block.header.previous != node.chain.tip.hash:
            raise RpcError(VERIFY_ERROR, "proposal was not based on our best chain")
    try:
        node.propose(block)
    except Rejection as rejection:
        raise RpcError(VERIFY_ERROR, rejection.reason) from None
    if not acceptnonstd:
        _require_standard(block, node)


@REGISTRY.method('submitblock "hexdata" ( "dummy" )', "hexdata:string", "dummy:string?")
def submitblock(context: Context, hexdata: str, dummy: str | None) -> str | None:  # noqa: ARG001 - BIP 22 has it
    """Take in a signed block; the result is null or the reason why it is not the new tip."""
    return context.node.submit(decode_block(context.node, hexdata))


@REGISTRY.method(
    'combineblocksigs "blockhex" [{"pubkey":"hex","sig":"hex"},...] ( "witnessScript" )',
    "blockhex:string",
    "signatures:array",
    "witnessScript:string?",
)
def combineblocksigs(
    context: Context, blockhex: str, signatures: list[Any], witness_script: str | None
) -> dict[str, object]:
    """Put signatures into a block, none of which is verified before; complete tells whether they suffice."""
    block = decode_block(context.node, blockhex)
    by_key: dict[bytes, bytes] = {}
    for entry in signatures:
        fields = entry if isinstance(entry, dict) else {}
        key, signature = (from_hex(expect(fields.get(name), "string")) for name in ("pubkey", "sig"))
        if not key or not signature:
            continue
        if not _is_key(key):
            raise RpcError(DESERIALIZATION_ERROR, "Bad pubkey")
        by_key[key] = signature
    if block.header.dynafed and witness_script is None:
        raise RpcError(INVALID_PARAMETER, "Signing dynamic blocks requires the witnessScript argument")
    header = combine(block.header, by_key, from_hex(witness_script or "") or b"")
    signed = ParsedBlock(header, block.transactions)
    return {"hex": signed.serialize().hex(), "complete": has_valid_proof(header, context.node.params)}


def decode_block(node: Node, text: str) -> ParsedBlock:
    """The block in hex, with whatever follows it ignored. Raises RpcError."""
    data = from_hex(text)
    try:
        if not data:
            raise DecodeError("no bytes")
        return read_block(data, layout=node.params.layout)
    except DecodeError:
        raise RpcError(DESERIALIZATION_ERROR, "Block decode failed") from None


def _proposal(node: Node, parameters: dict[str, Any]) -> DynafedEntry:
    if not node.chain.deployments.dynafed_active(node.chain.tip):
        raise RpcError(INVALID_PARAMETER, _NOT_DYNAFED)
    script = _hex_field(parameters, "signblockscript")
    limit = integer(parameters.get("max_block_witness"))
    if limit < 0:
        raise RpcError(INVALID_PARAMETER, "max_block_witness must be non-negative")
    fedpegscript = _hex_field(parameters, "fedpegscript")
    space = expect(parameters.get("extension_space"), "array")
    return DynafedEntry(
        "full",
        script,
        limit,
        fedpeg_program=b"\x00\x20" + bytes(wally.sha256(fedpegscript)),
        fedpegscript=fedpegscript,
        extension_space=tuple(from_hex(expect(entry, "string")) or b"" for entry in space),
    )


def _hex_field(parameters: dict[str, Any], name: str) -> bytes:
    data = from_hex(expect(parameters.get(name), "string"))
    if not data:
        raise RpcError(INVALID_PARAMETER, f"{name} must be hex")
    return data


def _commitments(data: Any) -> list[bytes]:
    entries = [data] if isinstance(data, str) else expect(data, "array")
    return [from_hex(expect(entry, "string")) or b"" for entry in entries]


def _require_standard(block: ParsedBlock, node: Node) -> None:
    for transaction in block.transactions[1:]:
        try:
            check_standard(transaction, node.params.policy_asset, most_data=0)  # nodes let no data output pass here
        except Rejection as rejection:
            message = f"Block proposal included a non-standard transaction: {rejection.reason}"
            raise RpcError(VERIFY_ERROR, message) from None


def _is_key(key: bytes) -> bool:
    compressed = len(key) == 33 and key[0] in (2, 3)
    try:
        if compressed:
            wally.ec_public_key_verify(key)
    except ValueError:
        return False
    return compressed or (len(key) == 65 and key[0] in (4, 6, 7))
