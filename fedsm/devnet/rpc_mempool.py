"""RPCs about transactions, waiting and confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedsm.chains.header import display_hash, internal_hash
from fedsm.chains.reader import DecodeError
from fedsm.chains.transaction import OP_RETURN, Transaction, parse_transaction
from fedsm.devnet.policy import RELAY_FEE_RATE, fee_for
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rpc_base import (
    ALREADY_IN_CHAIN,
    COIN,
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    VERIFY_ERROR,
    VERIFY_REJECTED,
    Context,
    Registry,
    RpcError,
    coins,
    expect,
    from_hex,
    hash_argument,
    integer,
    satoshi,
)
from fedsm.devnet.views import transaction_view

if TYPE_CHECKING:
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.mempool import MempoolEntry
    from fedsm.devnet.node import Node
    from fedsm.devnet.views import Json

REGISTRY = Registry()

DEFAULT_MAX_FEE_RATE = COIN // 10  # satoshi per 1000 virtual bytes
MOST_TESTED = 25
MAX_MEMPOOL = 300_000_000
MISSING = "bad-txns-inputs-missingorspent"
NO_INPUT = "Make sure the tx has at least one input."


@REGISTRY.method(
    'sendrawtransaction "hexstring" ( maxfeerate maxburnamount )',
    "hexstring:string",
    "maxfeerate:?",
    "maxburnamount:?",
)
def sendrawtransaction(context: Context, hexstring: str, maxfeerate: Any, maxburnamount: Any) -> str:
    """Take a transaction into the mempool and pass it on; the result is its id."""
    most_burned = 0 if maxburnamount is None else satoshi(maxburnamount)
    transaction = _decode(hexstring, f"TX decode failed. {NO_INPUT}")
    burned = (output.satoshi or 0 for output in transaction.outputs if output.script[:1] == bytes([OP_RETURN]))
    if any(amount > most_burned for amount in burned):
        raise RpcError(VERIFY_ERROR, "Unspendable output exceeds maximum configured by user (maxburnamount)")
    most_fee = fee_for(transaction.vsize, _fee_rate(maxfeerate))
    node = context.node
    with node.lock:
        if any(node.chain.coins.get(transaction.outpoint(index)) for index in range(len(transaction.outputs))):
            raise RpcError(ALREADY_IN_CHAIN, "Transaction outputs already in utxo set")
        if transaction.txid not in node.mempool.entries:
            _admit(node, transaction, most_fee)
    return display_hash(transaction.txid)


@REGISTRY.method('testmempoolaccept ["rawtx",...] ( maxfeerate )', "rawtxs:array", "maxfeerate:?")
def testmempoolaccept(context: Context, rawtxs: list[Any], maxfeerate: Any) -> list[Json]:
    """Whether the mempool would take transactions; each is judged by itself."""
    if not 1 <= len(rawtxs) <= MOST_TESTED:
        raise RpcError(INVALID_PARAMETER, f"Array must contain between 1 and {MOST_TESTED} transactions.")
    rate = _fee_rate(maxfeerate)
    texts = [expect(text, "string") for text in rawtxs]
    transactions = [_decode(text, f"TX decode failed: {text} {NO_INPUT}") for text in texts]
    with context.node.lock:
        return [_verdict(context.node, transaction, rate) for transaction in transactions]


@REGISTRY.method("getrawmempool ( verbose mempool_sequence )", "verbose:bool?", "mempool_sequence:bool?")
def getrawmempool(context: Context, verbose: bool | None, mempool_sequence: bool | None) -> object:
    """The ids of the waiting transactions, or with verbose what is known of each."""
    if verbose and mempool_sequence:
        raise RpcError(INVALID_PARAMETER, "Verbose results cannot contain mempool sequence values.")
    with context.node.lock:
        mempool = context.node.mempool
        if verbose:
            return {display_hash(entry.txid): _entry_view(entry) for entry in mempool.entries.values()}
        ids = [display_hash(txid) for txid in mempool.entries]
        return {"txids": ids, "mempool_sequence": mempool.sequence} if mempool_sequence else ids


@REGISTRY.method("getmempoolinfo")
def getmempoolinfo(context: Context) -> Json:
    """Size and limits of the mempool."""
    with context.node.lock:
        entries = list(context.node.mempool.entries.values())
    rate = coins(RELAY_FEE_RATE)
    return {
        "loaded": True,
        "size": len(entries),
        "bytes": sum(entry.transaction.vsize for entry in entries),
        "usage": sum(len(entry.transaction.raw) for entry in entries),
        "total_fee": coins(sum(entry.fee for entry in entries)),
        "maxmempool": MAX_MEMPOOL,
        "mempoolminfee": rate,
        "minrelaytxfee": rate,
        "incrementalrelayfee": rate,
        "unbroadcastcount": sum(entry.unbroadcast for entry in entries),
        "fullrbf": False,
    }


@REGISTRY.method('getmempoolentry "txid"', "txid:string")
def getmempoolentry(context: Context, txid: str) -> Json:
    """What is known of a waiting transaction."""
    name = hash_argument(txid, "parameter 1")
    with context.node.lock:
        entry = context.node.mempool.entries.get(internal_hash(name))
        if entry is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Transaction not in mempool")
        return _entry_view(entry)


@REGISTRY.method(
    'getrawtransaction "txid" ( verbosity "blockhash" )', "txid:string", "verbosity:?", "blockhash:string?"
)
def getrawtransaction(context: Context, txid: str, verbosity: Any, blockhash: str | None) -> Json | str:
    """A transaction of the chain or the mempool, in hex or decoded."""
    name = internal_hash(hash_argument(txid, "parameter 1"))
    depth = int(verbosity) if isinstance(verbosity, bool) else 0 if verbosity is None else integer(verbosity)
    node = context.node
    with node.lock:
        transaction, entry = _find(node, name, blockhash)
        if depth <= 0:
            return transaction.raw.hex()
        view = transaction_view(transaction, undo=entry.undo if entry is not None and depth > 1 else None)
        if entry is None:
            return view
        active = node.chain.contains(entry)
        if blockhash is not None:
            view = {"in_active_chain": active, **view}
        view["blockhash"] = entry.hash
        if active:
            view["confirmations"] = node.chain.tip.height - entry.height + 1
            view["time"] = view["blocktime"] = entry.header.time
        else:
            view["confirmations"] = 0
        return view


@REGISTRY.method('decoderawtransaction "hexstring" ( iswitness )', "hexstring:string", "iswitness:bool?")
def decoderawtransaction(context: Context, hexstring: str, iswitness: bool | None) -> Json:  # noqa: ARG001
    """A transaction in hex, decoded."""
    return transaction_view(_decode(hexstring, "TX decode failed"), with_hex=False)


def _decode(text: str, message: str) -> Transaction:
    data = from_hex(text)
    try:
        if not data:
            raise DecodeError("no bytes")
        return parse_transaction(data)
    except DecodeError:
        raise RpcError(DESERIALIZATION_ERROR, message) from None


def _fee_rate(value: Any) -> int:
    """Satoshi per 1000 virtual bytes; 0 stands for no limit."""
    rate = DEFAULT_MAX_FEE_RATE if value is None else satoshi(value)
    if rate > COIN:
        raise RpcError(INVALID_PARAMETER, "Fee rates larger than or equal to 1BTC/kvB are not accepted")
    return rate


def _admit(node: Node, transaction: Transaction, most_fee: int) -> None:
    try:
        if most_fee and node.mempool.accept(transaction, node.clock.now(), only_test=True).fee > most_fee:
            message = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"
            raise RpcError(VERIFY_ERROR, message)
        node.add_transaction(transaction, own=True)
    except Rejection as rejection:
        code = VERIFY_ERROR if rejection.reason == MISSING else VERIFY_REJECTED
        raise RpcError(code, str(rejection)) from None


def _verdict(node: Node, transaction: Transaction, rate: int) -> Json:
    wtxid = display_hash(transaction.wtxid)
    verdict: Json = {"txid": display_hash(transaction.txid), "wtxid": wtxid}
    try:
        entry = node.mempool.accept(transaction, node.clock.now(), only_test=True)
    except Rejection as rejection:
        if rejection.reason == MISSING:
            return verdict | {"allowed": False, "reject-reason": "missing-inputs"}
        return verdict | {"allowed": False, "reject-reason": rejection.reason, "reject-details": str(rejection)}
    vsize = transaction.vsize
    if rate and entry.fee > fee_for(vsize, rate):
        return verdict | {"allowed": False, "reject-reason": "max-fee-exceeded"}
    fees = {
        "base": coins(entry.fee),
        "effective-feerate": coins(entry.fee * 1000 // vsize),
        "effective-includes": [wtxid],
    }
    return verdict | {"allowed": True, "vsize": vsize, "fees": fees}


def _entry_view(entry: MempoolEntry) -> Json:
    ancestors, descendants = entry.ancestors(), entry.descendants()
    transaction = entry.transaction
    return {
        "vsize": transaction.vsize,
        "weight": transaction.weight,
        "time": entry.time,
        "height": entry.height,
        "descendantcount": len(descendants),
        "descendantsize": sum(kin.transaction.vsize for kin in descendants),
        "ancestorcount": len(ancestors),
        "ancestorsize": sum(kin.transaction.vsize for kin in ancestors),
        "wtxid": display_hash(transaction.wtxid),
        "fees": {
            "base": coins(entry.fee),
            "modified": coins(entry.fee),
            "ancestor": coins(sum(kin.fee for kin in ancestors)),
            "descendant": coins(sum(kin.fee for kin in descendants)),
        },
        "depends": sorted(display_hash(parent.txid) for parent in entry.parents),
        "spentby": [display_hash(child.txid) for child in entry.children],
        "bip125-replaceable": entry.replaceable,
        "unbroadcast": entry.unbroadcast,
    }


def _find(node: Node, txid: bytes, blockhash: str | None) -> tuple[Transaction, BlockEntry | None]:
    """The transaction and its block (``None``: it waits). Raises RpcError."""
    if blockhash is not None:
        entry = node.chain.entries.get(hash_argument(blockhash, "parameter 3"))
        if entry is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Block hash not found")
        found = next((tx for tx in entry.block.transactions if tx.txid == txid), None)
        if found is None:
            message = "No such transaction found in the provided block. Use gettransaction for wallet transactions."
            raise RpcError(INVALID_ADDRESS_OR_KEY, message)
        return found, entry
    waiting = node.mempool.entries.get(txid)
    if waiting is not None:
        return waiting.transaction, None
    confirmed = node.chain.find_transaction(txid)
    if confirmed is None:
        message = "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."
        raise RpcError(INVALID_ADDRESS_OR_KEY, message)
    return confirmed
