"""Ocean's signrawtransaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedsm.chains.header import display_hash, internal_hash
from fedsm.chains.reader import DecodeError, Reader
from fedsm.chains.transaction import TxOutput, explicit_value, read_transaction
from fedsm.devnet import encoding
from fedsm.devnet.ocean.arguments import check_types, field, hash_of, hex_of, text, whole
from fedsm.devnet.ocean.rpc_blocks import node_of
from fedsm.devnet.ocean.rpc_wallet import ensure_unlocked
from fedsm.devnet.ocean.signing import SIGHASHES, InputSigner, failure_of, sign_input, with_script_sig
from fedsm.devnet.ocean.wallet import Keys, read_wif
from fedsm.devnet.rpc_base import (
    DESERIALIZATION_ERROR,
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    Context,
    Registry,
    RpcError,
)
from fedsm.devnet.script_types import assembly

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.views import Json

REGISTRY = Registry()

ZERO_NONCE = b"\x00"


@REGISTRY.method(
    'signrawtransaction "hexstring" ( [{"txid":"id","vout":n,"scriptPubKey":"hex","redeemScript":"hex"},...] '
    '["privatekey1",...] sighashtype )',
    "hexstring:",
    "prevtxs:?",
    "privkeys:?",
    "sighashtype:?",
)
def signrawtransaction(context: Context, hexstring: Any, prevtxs: Any, privkeys: Any, sighashtype: Any) -> Json:
    """Sign inputs with the given keys, else the wallet's, and merge the signatures of concatenated transactions."""
    check_types((hexstring, "string"), (prevtxs, "array"), (privkeys, "array"), (sighashtype, "string"))
    variants = _variants(hex_of(hexstring, "argument 1"))
    node = node_of(context)
    given = None if privkeys is None else _given_keys(privkeys)
    with node.lock:
        spent = _spent_outputs(node, variants[0], prevtxs or [], given)
    if sighashtype is not None and sighashtype not in SIGHASHES:
        raise RpcError(INVALID_PARAMETER, "Invalid sighash param")
    if given is None:
        ensure_unlocked(node)
    keys: Keys = node.wallet if given is None else given
    return _sign(variants, spent, keys, SIGHASHES[sighashtype or "ALL"])


def _variants(data: bytes) -> list[Transaction]:
    """The transactions that stand one behind the other in ``data``."""
    reader, found = Reader(data), []
    try:
        while reader.left:
            found.append(read_transaction(reader))
    except DecodeError:
        raise RpcError(DESERIALIZATION_ERROR, "TX decode failed") from None
    return found


def _given_keys(privkeys: list[Any]) -> Keys:
    keys = Keys()
    for wif in privkeys:
        secret = read_wif(text(wif))
        if secret is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Invalid private key")
        try:
            keys.add(secret)
        except ValueError:
            raise RpcError(INVALID_ADDRESS_OR_KEY, "Private key outside allowed range") from None
    return keys


def _spent_outputs(
    node: OceanNode, transaction: Transaction, prevtxs: list[Any], given: Keys | None
) -> dict[bytes, TxOutput]:
    """The outputs that the inputs spend, by outpoint: what the node knows, and what the caller says."""
    coins = {spending.outpoint: node.mempool.get(spending.outpoint) for spending in transaction.inputs}
    spent = {outpoint: coin.output for outpoint, coin in coins.items() if coin is not None}
    for entry in prevtxs:
        if not isinstance(entry, dict):
            raise RpcError(DESERIALIZATION_ERROR, 'expected object with {"txid\'","vout","scriptPubKey"}')
        for name, kind in (("txid", "string"), ("vout", "number"), ("scriptPubKey", "string")):
            field(entry, name, kind)
        index = whole(entry["vout"])
        if index < 0:
            raise RpcError(DESERIALIZATION_ERROR, "vout must be positive")
        outpoint = internal_hash(hash_of(entry["txid"], "txid")) + index.to_bytes(4, "little")
        script = hex_of(entry["scriptPubKey"], "scriptPubKey")
        known = spent.get(outpoint)
        if known is not None and known.script != script:
            shown = f"{assembly(known.script)}\nvs:\n{assembly(script)}"
            raise RpcError(DESERIALIZATION_ERROR, f"Previous output scriptPubKey mismatch:\n{shown}")
        spent[outpoint] = TxOutput(b"\x01" + bytes(32), explicit_value(0), ZERO_NONCE, script)
        if given is not None and encoding.is_p2sh(script):
            field(entry, "redeemScript", "string")
            given.add_redeem_script(hex_of(entry["redeemScript"], "redeemScript"))
    return spent


def _sign(variants: list[Transaction], spent: dict[bytes, TxOutput], keys: Keys, sighash: int) -> Json:
    unsigned = merged = variants[0]
    errors: list[Json] = []
    for index, spending in enumerate(unsigned.inputs):
        output = spent.get(spending.outpoint)
        failure: str | None = "Input not found or already spent"
        if output is not None:
            script_sig = sign_input(variants, InputSigner(unsigned, index, output, keys, sighash))
            merged = with_script_sig(merged, index, script_sig)
            failure = failure_of(merged, index, output)
        if failure is not None:
            errors.append(
                {
                    "txid": display_hash(spending.outpoint[:32]),
                    "vout": int.from_bytes(spending.outpoint[32:], "little"),
                    "scriptSig": merged.inputs[index].script_sig.hex(),
                    "sequence": spending.sequence,
                    "error": failure,
                }
            )
    result: Json = {"hex": merged.raw.hex(), "complete": not errors}
    return result | ({"errors": errors} if errors else {})
