"""Ocean's RPCs about assets: issuing and reissuing them, and what there is of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedsm.chains.header import display_hash, internal_hash
from fedsm.chains.transaction import Issuance, TxInput, TxOutput, explicit_value, issued_assets
from fedsm.devnet.ocean.amounts import UNBLINDED_NONCE
from fedsm.devnet.ocean.arguments import amount, expect, loose_hash, number_in, text, whole
from fedsm.devnet.ocean.records import FREEZE_SCRIPT
from fedsm.devnet.ocean.rpc_blocks import node_of
from fedsm.devnet.ocean.views import script_view
from fedsm.devnet.ocean.writing import FINAL, write_transaction
from fedsm.devnet.rpc_base import INVALID_ADDRESS_OR_KEY, TYPE_ERROR, Context, Registry, RpcError, coins
from fedsm.devnet.script_types import script_of

if TYPE_CHECKING:
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.views import Json

REGISTRY = Registry()

NULL_VALUE = b"\x00"
ZERO_NONCE = b"\x00"


@dataclass
class AssetTotals:
    """Unspent outputs of an asset and their satoshi; a freeze output freezes all of its transaction."""

    spendable: int = 0
    spendable_amount: int = 0
    frozen: int = 0
    frozen_amount: int = 0


@REGISTRY.method("getutxoassetinfo")
def getutxoassetinfo(context: Context) -> list[Json]:
    """What there is of each asset, spendable and frozen, with entropy and token if this node has noted them."""
    node = node_of(context)
    with node.lock:
        totals = _totals(node)
        return [
            {
                "asset": display_hash(asset),
                "spendabletxouts": total.spendable,
                "amountspendable": coins(total.spendable_amount),
                "frozentxouts": total.frozen,
                "amountfrozen": coins(total.frozen_amount),
                **_noted(node, asset),
            }
            for asset, total in sorted(totals.items())
        ]


@REGISTRY.method("getfreezehistory height")
def getfreezehistory(context: Context) -> list[Json]:
    """All outputs that were ever frozen, as far as this node has noted them; end is 0 while they are."""
    node = node_of(context)
    with node.lock:
        return [
            {
                "txid": display_hash(frozen.outpoint[:32]),
                "vout": int.from_bytes(frozen.outpoint[32:], "little"),
                "asset": display_hash(frozen.asset),
                "value": coins(frozen.value),
                "start": frozen.start,
                "end": frozen.end,
            }
            for frozen in node.records.freezes.values()
        ]


@REGISTRY.method(
    "createrawissuance assetaddress assetamount tokenaddress tokenamount changeaddress feeamount inputtxid vout",
    *("assetaddress:", "assetamount:", "tokenaddress:", "tokenamount:", "changeaddress:"),
    *("changeamount:", "numchange:", "inputtxid:", "vout:"),
)
def createrawissuance(context: Context, *given: Any) -> Json:
    """An unsigned issuance of a new asset and its token, with change of the issuance policy asset."""
    asset_address, asset_amount, token_address, token_amount, change_address, change_amount, *rest = given
    addresses = [text(address) for address in (asset_address, token_address, change_address)]
    scripts = [
        _script(address, what)
        for address, what in zip(addresses, ("Asset token", "Reissuance token", "policy asset return"), strict=True)
    ]
    issued, tokens, change = (amount(value) for value in (asset_amount, token_amount, change_amount))
    if not issued and not tokens:
        raise RpcError(TYPE_ERROR, "Issuance must have one non-zero component")
    number = number_in(text(rest[0]))
    issuance = Issuance(bytes(32), bytes(32), explicit_value(issued), explicit_value(tokens))
    spending = TxInput(_outpoint(rest[1], rest[2]), b"", FINAL, issuance, is_pegin=False)
    entropy, asset, token = issued_assets(spending, issuance)
    outputs = [_output(asset, issued, scripts[0]), _output(token, tokens, scripts[1])]
    outputs += [_output(_issuance_asset(node_of(context)), change, scripts[2])] * number
    return {
        "rawtx": write_transaction([spending], outputs).raw.hex(),
        "vin": 0,
        "entropy": display_hash(entropy),
        "asset": display_hash(asset),
        "token": display_hash(token),
    }


@REGISTRY.method(
    "createrawreissuance assetaddress assetamount tokenaddress tokenamount inputtxid vout entropy",
    *("assetaddress:", "assetamount:", "tokenaddress:", "tokenamount:", "inputtxid:", "vout:", "entropy:"),
)
def createrawreissuance(context: Context, *given: Any) -> Json:  # noqa: ARG001
    """An unsigned reissuance of an asset by its entropy; nothing of it is looked up in the chain."""
    asset_address, asset_amount, token_address, token_amount, txid, vout, seed = given
    addresses = [text(address) for address in (asset_address, token_address)]
    scripts = [
        _script(address, what) for address, what in zip(addresses, ("Asset token", "Reissuance token"), strict=True)
    ]
    issued, tokens = amount(asset_amount), amount(token_amount)
    if not issued or not tokens:
        raise RpcError(TYPE_ERROR, "Re-issuance must be non-zero component")
    outpoint = _outpoint(txid, vout)
    entropy = internal_hash(loose_hash(text(seed)))
    issuance = Issuance(UNBLINDED_NONCE, entropy, explicit_value(issued), NULL_VALUE)
    spending = TxInput(outpoint, b"", FINAL, issuance, is_pegin=False)
    _, asset, token = issued_assets(spending, issuance)
    outputs = [_output(asset, issued, scripts[0]), _output(token, tokens, scripts[1])]
    return {
        "hex": write_transaction([spending], outputs).raw.hex(),
        "asset": display_hash(asset),
        "token": display_hash(token),
    }


@REGISTRY.method("dumpassetlabels")
def dumpassetlabels(context: Context) -> Json:
    """Assets that have a name."""
    labels = node_of(context).params.labels
    return {label: display_hash(asset) for asset, label in sorted(labels.items(), key=lambda item: item[1])}


@REGISTRY.method('gettxout "txid" n ( include_mempool )', "txid:", "n:", "include_mempool:?")
def gettxout(context: Context, txid: Any, n: Any, include_mempool: Any) -> Json | None:
    """An unspent output, null when there is none; the mempool counts unless told otherwise."""
    outpoint = internal_hash(loose_hash(text(txid))) + (whole(n) & FINAL).to_bytes(4, "little")
    waiting = True if include_mempool is None else expect(include_mempool, "bool")
    node = node_of(context)
    with node.lock:
        coin = node.chain.coins.get(outpoint)
        if waiting:
            coin = None if node.mempool.is_spent(outpoint) else node.mempool.get(outpoint)
        return None if coin is None else _coin_view(node, coin)


def _coin_view(node: OceanNode, coin: Coin) -> Json:
    tip, output = node.chain.tip, coin.output
    view: Json = {"bestblock": tip.hash, "confirmations": max(tip.height - coin.height + 1, 0)}
    view["value"] = coins(output.satoshi or 0)
    view["asset"] = display_hash(output.asset[1:])
    label = node.params.labels.get(output.asset[1:])
    view |= {} if label is None else {"assetlabel": label}
    return view | {"scriptPubKey": script_view(output.script), "version": 2, "coinbase": coin.coinbase}


def _totals(node: OceanNode) -> dict[bytes, AssetTotals]:
    unspent = node.chain.coins.coins
    freezing = {outpoint[:32] for outpoint, coin in unspent.items() if coin.output.script == FREEZE_SCRIPT}
    totals: dict[bytes, AssetTotals] = defaultdict(AssetTotals)
    for outpoint, coin in unspent.items():
        total, satoshi = totals[coin.output.asset[1:]], coin.output.satoshi or 0
        if outpoint[:32] in freezing:
            total.frozen += 1
            total.frozen_amount += satoshi
        else:
            total.spendable += 1
            total.spendable_amount += satoshi
    return totals


def _noted(node: OceanNode, asset: bytes) -> Json:
    if not node.params.record_inflation:
        return {}
    found = node.records.issuances.get(asset)
    if found is None:
        return {"entropy": "null", "token": "null"}
    return {"entropy": display_hash(found[0]), "token": display_hash(found[1])}


def _issuance_asset(node: OceanNode) -> bytes:
    """The policy asset of issuances; zeros on a chain that has none."""
    return next((asset for asset, label in node.params.labels.items() if label == "ISSUANCE"), bytes(32))


def _script(address: str, what: str) -> bytes:
    found = script_of(address)
    if found is None:
        raise RpcError(INVALID_ADDRESS_OR_KEY, f"Invalid {what} address")
    return found[0]


def _outpoint(txid: Any, vout: Any) -> bytes:
    """txid in any hex and the index as a string, which is not what the help says of it."""
    name = internal_hash(loose_hash(text(txid)))
    return name + number_in(text(vout)).to_bytes(4, "little")


def _output(asset: bytes, satoshi: int, script: bytes) -> TxOutput:
    return TxOutput(b"\x01" + asset, explicit_value(satoshi), ZERO_NONCE, script)
