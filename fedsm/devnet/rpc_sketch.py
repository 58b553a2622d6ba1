"""RPCs by which nodes exchange blocks as sketches, without the transactions that the other has."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fedsm.chains.reader import DecodeError
from fedsm.devnet.block import ParsedBlock, read_block
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rpc_base import DESERIALIZATION_ERROR, MISC_ERROR, Context, Registry, RpcError, from_hex
from fedsm.devnet.rules import check_block
from fedsm.devnet.sketch import (
    NO_HASH,
    Sketch,
    SketchError,
    read_request,
    read_sketch,
    read_transactions,
    write_request,
    write_transactions,
)

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction

T = TypeVar("T")

REGISTRY = Registry()

CUT_SHORT = "DataStream::read(): end of data: iostream error"
INCOMPLETE = "Failed to complete block though all transactions were apparently found."
COLLISION = f"{INCOMPLETE} Could be random short ID collision; requires full block instead."


@REGISTRY.method('getcompactsketch "block_hex"', "block_hex:string")
def getcompactsketch(context: Context, block_hex: str) -> str:
    """The sketch of a block; its ids differ from call to call."""
    block = _block(context, block_hex)
    if not block.transactions:
        raise RpcError(DESERIALIZATION_ERROR, "Cannot obtain sketch of empty block.")
    return Sketch.of(block, secrets.randbits(64)).serialize().hex()


@REGISTRY.method('consumecompactsketch "sketch"', "sketch:string")
def consumecompactsketch(context: Context, sketch: str) -> dict[str, str]:
    """The block of a sketch, if the mempool has the rest of it; else what is missing and what was found."""
    node = context.node
    read = _sketch(context, sketch)
    with node.lock:
        waiting = [entry.transaction for entry in node.mempool.in_order()]
    try:
        filled = read.fill(waiting)
    except SketchError:
        raise RpcError(DESERIALIZATION_ERROR, "Compact block decode failed") from None
    missing = [position for position, transaction in enumerate(filled) if transaction is None]
    found = [transaction for transaction in filled if transaction is not None]
    if missing:
        return {
            "block_tx_req": write_request(missing).hex(),
            "found_transactions": write_transactions(found).hex(),
        }
    return {"blockhex": _finish(read, found, unsound="Checkblock failed.")}


@REGISTRY.method('consumegetblocktxn "full_block" "block_tx_req"', "full_block:string", "block_tx_req:string")
def consumegetblocktxn(context: Context, full_block: str, block_tx_req: str) -> str:
    """The transactions of a block that another node asks for."""
    transactions = _block(context, full_block).transactions
    positions = _decoded(read_request, block_tx_req)
    if any(position >= len(transactions) for position in positions):
        raise RpcError(DESERIALIZATION_ERROR, "Peer sent us a getblocktxn with out-of-bounds tx indices")
    return (NO_HASH + write_transactions([transactions[position] for position in positions])).hex()


@REGISTRY.method(
    'finalizecompactblock "compact_hex" "block_transactions" "found_transactions"',
    "compact_hex:string",
    "block_transactions:string",
    "found_transactions:string",
)
def finalizecompactblock(
    context: Context, compact_hex: str, block_transactions: str, found_transactions: str
) -> str:
    """The block of a sketch, from the transactions that were sent and those that had been found."""
    sketch = _sketch(context, compact_hex)
    sent = _decoded(lambda data: read_transactions(data, answer=True), block_transactions)
    found = _decoded(lambda data: read_transactions(data, answer=False), found_transactions)
    try:
        filled = sketch.fill([*found, *sent])
    except SketchError:
        raise RpcError(DESERIALIZATION_ERROR, "compact_hex appears malformed.") from None
    complete = [transaction for transaction in filled if transaction is not None]
    if len(complete) < sketch.size:
        raise RpcError(DESERIALIZATION_ERROR, INCOMPLETE)
    return _finish(sketch, complete, unsound=INCOMPLETE)


def _finish(sketch: Sketch, transactions: list[Transaction], *, unsound: str) -> str:
    """The block in hex. A Merkle root that does not fit is taken for two transactions with one id."""
    block = ParsedBlock(sketch.header, tuple(transactions))
    try:
        check_block(block)
    except Rejection as rejection:
        raise RpcError(DESERIALIZATION_ERROR, COLLISION if rejection.mutated else unsound) from None
    return block.serialize().hex()


def _block(context: Context, text: str) -> ParsedBlock:
    return _decoded(lambda data: read_block(data, layout=context.node.params.layout), text)


def _sketch(context: Context, text: str) -> Sketch:
    return _decoded(lambda data: read_sketch(data, layout=context.node.params.layout), text)


def _decoded(read: Callable[[bytes], T], text: str) -> T:
    """What is not hex reads as no bytes; the node has one text for whatever ends too early."""
    try:
        return read(from_hex(text) or b"")
    except DecodeError:
        raise RpcError(MISC_ERROR, CUT_SHORT) from None
