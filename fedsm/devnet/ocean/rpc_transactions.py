"""Ocean's RPCs about transactions, waiting and confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.header import display_hash, internal_hash
from fedsm.chains.reader import DecodeError
from fedsm.chains.transaction import (
    Transaction,
    TxInput,
    TxOutput,
    explicit_value,
    parse_transaction,
)
from fedsm.devnet import encoding
from fedsm.devnet.ocean.arguments import (
    amount,
    check_types,
    expect,
    hash_of,
    hex_of,
    text,
    whole,
)
from fedsm.devnet.ocean.mempool import MISSING_INPUTS, reject_code
from fedsm.devnet.ocean.rpc_blocks import node_of
from fedsm.devnet.ocean.views import script_view, transaction_view
from fedsm.devnet.ocean.writing import FINAL, write_transaction
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.rpc_base import (
    ALREADY_IN_CHAIN,
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    TYPE_ERROR,
    VERIFY_ERROR,
    VERIFY_REJECTED,
    Context,
    Registry,
    RpcError,
    from_hex,
)
from fedsm.devnet.script_types import script_of

if TYPE_CHECKING:
    from fedsm.devnet.index import BlockEntry
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.views import Json

REGISTRY = Registry()

ZERO_NONCE = b"\x00"
OP_RETURN = b"\x6a"
NOT_FOUND = "No such mempool or blockchain transaction. Use gettransaction for wallet transactions."


@REGISTRY.method(
    'sendrawtransaction "hexstring" ( allowhighfees ) ( allowunblindfails )',
    "hexstring:",
    "allowhighfees:?",
    "allowunblindfails:?",
)
def sendrawtransaction(context: Context, hexstring: Any, allowhighfees: Any, allowunblindfails: Any) -> str:  # noqa: ARG001
    """Take a transaction into the mempool and pass it on; the result is its id."""
    check_types((hexstring, "string"), (allowhighfees, "bool"))
    transaction = decode(text(hexstring))
    node = node_of(context)
    with node.lock:
        if transaction.txid not in node.mempool.entries:
            if node.mempool.has_coins(transaction.txid):
                raise RpcError(ALREADY_IN_CHAIN, "transaction already in block chain")
            _admit(node, transaction)
    return display_hash(transaction.txid)


@REGISTRY.method("getrawmempool ( verbose )", "verbose:?")
def getrawmempool(context: Context, verbose: Any) -> object:
    """The ids of the waiting transactions, or with verbose what is known of each."""
    detailed = verbose is not None and expect(verbose, "bool")
    with context.node.lock:
        entries = context.node.mempool.in_order()
        if not detailed:
            return [display_hash(entry.txid) for entry in entries]
        return {
            display_hash(entry.txid): {
                "size": entry.transaction.vsize,
                "time": entry.time,
                "height": entry.height,
                "descendantcount": len(entry.descendants()),
                "ancestorcount": len(entry.ancestors()),
                "depends": sorted(display_hash(parent.txid) for parent in entry.parents),
            }
            for entry in entries
        }


@REGISTRY.method('getrawtransaction "txid" ( verbose )', "txid:", "verbose:?")
def getrawtransaction(context: Context, txid: Any, verbose: Any) -> Json | str:
    """A transaction of the chain or the mempool, in hex or decoded."""
    name = internal_hash(hash_of(txid, "parameter 1"))
    decoded = _is_verbose(verbose)
    node = node_of(context)
    with node.lock:
        transaction, entry = _find(node, name)
        if not decoded:
            return transaction.raw.hex()
        view: Json = {"hex": transaction.raw.hex(), **transaction_view(transaction, node.params.labels)}
        if entry is None:
            return view
        view["blockhash"] = entry.hash
        view["confirmations"] = node.chain.tip.height - entry.height + 1
        view["time"] = view["blocktime"] = entry.header.time
        return view


@REGISTRY.method('decoderawtransaction "hexstring"', "hexstring:")
def decoderawtransaction(context: Context, hexstring: Any) -> Json:
    """A transaction in hex, decoded."""
    check_types((hexstring, "string"))
    return transaction_view(decode(text(hexstring)), node_of(context).params.labels)


@REGISTRY.method('decodescript "hexstring"', "hexstring:")
def decodescript(context: Context, hexstring: Any) -> Json:  # noqa: ARG001
    """A script in hex, decoded, with the P2SH address that would wrap it."""
    script = hex_of(hexstring, "argument") if text(hexstring) else b""
    view = script_view(script, with_hex=False)
    if view["type"] != "scripthash":
        view["p2sh"] = str(wally.base58check_from_bytes(b"\x4b" + bytes(wally.hash160(script))))
    return view


@REGISTRY.method(
    'createrawtransaction [{"txid":"id","vout":n},...] {"address":amount,"data":"hex",...} ( locktime ) '
    '( {"address":asset} )',
    "inputs:",
    "outputs:",
    "locktime:?",
    "output_assets:?",
)
def createrawtransaction(context: Context, inputs: Any, outputs: Any, locktime: Any, output_assets: Any) -> str:
    """An unsigned transaction; amounts are of the domain asset unless ``output_assets`` names another."""
    check_types((inputs, "array"), (outputs, "object"), (locktime, "number"), (output_assets, "object"))
    if inputs is None or outputs is None:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, arguments 1 and 2 must be non-null")
    if locktime is not None and not 0 <= locktime <= FINAL:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, locktime out of range")
    lock = int(locktime or 0)
    vin = [_input(expect(entry, "object"), lock) for entry in inputs]
    policy, assets = context.node.params.policy_asset, output_assets or {}
    vout = [_output(name, value, _asset(assets, name, policy)) for name, value in outputs.items()]
    return write_transaction(vin, vout, locktime=lock).raw.hex()


def decode(hexstring: str) -> Transaction:
    """The transaction in hex. Raises RpcError."""
    data = from_hex(hexstring)
    try:
        if not data:
            raise DecodeError("no bytes")
        return parse_transaction(data)
    except DecodeError:
        raise RpcError(DESERIALIZATION_ERROR, "TX decode failed") from None


def _admit(node: OceanNode, transaction: Transaction) -> None:
    try:
        node.add_transaction(transaction, own=True)
    except Rejection as rejection:
        if rejection.reason == MISSING_INPUTS:
            raise RpcError(VERIFY_ERROR, MISSING_INPUTS) from None
        message = f"{reject_code(rejection.reason)}: {rejection.reason}"
        raise RpcError(VERIFY_REJECTED, message) from None


def _is_verbose(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if not isinstance(value, int):
        raise RpcError(TYPE_ERROR, "Invalid type provided. Verbose parameter must be a boolean.")
    return whole(value) != 0


def _find(node: OceanNode, txid: bytes) -> tuple[Transaction, BlockEntry | None]:
    """The transaction and its block (``None``: it waits). Raises RpcError."""
    waiting = node.mempool.entries.get(txid)
    if waiting is not None:
        return waiting.transaction, None
    confirmed = node.chain.find_transaction(txid)
    if confirmed is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, NOT_FOUND)
    return confirmed


def _input(entry: dict[str, Any], locktime: int) -> TxInput:
    txid = internal_hash(hash_of(entry.get("txid"), "txid"))
    index = entry.get("vout")
    if isinstance(index, bool) or not isinstance(index, int):
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, missing vout key")
    if index < 0:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, vout must be positive")
    sequence = entry.get("sequence", FINAL - 1 if locktime else FINAL)
    if not isinstance(sequence, int) or not 0 <= sequence <= FINAL:
        raise RpcError(INVALID_PARAMETER, "Invalid parameter, sequence number is out of range")
    return TxInput(txid + index.to_bytes(4, "little"), b"", sequence, None, is_pegin=False)


def _asset(assets: dict[str, Any], name: str, policy: bytes) -> bytes:
    return policy if assets.get(name) is None else b"\x01" + internal_hash(hash_of(assets[name], name))


def _output(name: str, value: Any, asset: bytes) -> TxOutput:
    if name == "data":
        return TxOutput(asset, explicit_value(0), ZERO_NONCE, OP_RETURN + encoding.push(hex_of(value, "Data")))
    if name == "fee":
        return TxOutput(asset, explicit_value(amount(value)), ZERO_NONCE, b"")
    found = script_of(name)
    if found is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, f"Invalid Bitcoin address: {name}")
    return TxOutput(asset, explicit_value(amount(value)), found[1] or ZERO_NONCE, found[0])
