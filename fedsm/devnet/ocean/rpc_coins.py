"""RPCs of Ocean's wallet about what it holds: balances, unspent outputs, issuances."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import wallycore as wally

from fedsm.chains.header import display_hash, internal_hash
from fedsm.chains.transaction import explicit_amount, issued_assets
from fedsm.devnet.coins import MEMPOOL_HEIGHT
from fedsm.devnet.ocean.arguments import check_types, hash_of, text, whole
from fedsm.devnet.ocean.rpc_blocks import node_of
from fedsm.devnet.ocean.rpc_network import PROTOCOL, VERSION
from fedsm.devnet.rpc_base import (
    INVALID_ADDRESS_OR_KEY,
    INVALID_PARAMETER,
    TYPE_ERROR,
    Context,
    Registry,
    RpcError,
    coins,
    from_hex,
)
from fedsm.devnet.script_types import address_of, script_of, script_type

if TYPE_CHECKING:
    from fedsm.chains.transaction import Transaction, TxInput
    from fedsm.devnet.coins import Coin
    from fedsm.devnet.ocean.node import OceanNode
    from fedsm.devnet.views import Json

REGISTRY = Registry()

WALLET_VERSION = 130_000
KEYPOOL_SIZE = 20
NO_BLINDER = "00" * 32
BAD_ADDRESS = "Invalid Bitcoin address"


@REGISTRY.method("getinfo")
def getinfo(context: Context) -> Json:
    """A bit of everything."""
    node = node_of(context)
    with node.lock:
        return {
            "version": VERSION,
            "protocolversion": PROTOCOL,
            "walletversion": WALLET_VERSION,
            "balance": _balance(node),
            "blocks": node.chain.tip.height,
            "timeoffset": 0,
            "connections": len(context.network.peers(node.number)),
            "proxy": "",
            "difficulty": 1,
            "chain": node.params.chain,
            "keypoololdest": int(node.started),
            "keypoolsize": KEYPOOL_SIZE,
            "paytxfee": coins(0),
            "relayfee": coins(1000),
            "errors": "",
        }


@REGISTRY.method("getwalletinfo")
def getwalletinfo(context: Context) -> Json:
    """The state of the wallet."""
    node = node_of(context)
    with node.lock:
        return {
            "walletversion": WALLET_VERSION,
            "balance": _balance(node),
            "unconfirmed_balance": {},
            "immature_balance": {},
            "txcount": len({outpoint[:32] for outpoint, _ in _own_coins(node)}),
            "keypoololdest": int(node.started),
            "keypoolsize": KEYPOOL_SIZE,
            "paytxfee": coins(0),
            "hdmasterkeyid": bytes(wally.hash160(node.wallet.blinding_key))[::-1].hex(),
        }


@REGISTRY.method(
    'getbalance ( "account" minconf include_watchonly "asset" )', "account:?", "minconf:?", "watch:?", "asset:?"
)
def getbalance(context: Context, account: Any, minconf: Any, watch: Any, asset: Any) -> object:  # noqa: ARG001
    """What the wallet can spend of each asset, or of one."""
    node = node_of(context)
    with node.lock:
        balance = _balance(node)
    return balance if asset is None else balance.get(text(asset), coins(0))


@REGISTRY.method(
    'listunspent ( minconf maxconf  ["addresses",...] [include_unsafe] "asset" )',
    *("minconf:?", "maxconf:?", "addresses:?", "include_unsafe:?", "asset:?"),
)
def listunspent(
    context: Context, minconf: Any, maxconf: Any, addresses: Any, include_unsafe: Any, asset: Any
) -> list[Json]:
    """The wallet's outputs that are neither spent nor about to be, watched ones too, ordered by transaction id."""
    check_types((minconf, "number"), (maxconf, "number"), (addresses, "array"), (include_unsafe, "bool"))
    least = 1 if minconf is None else whole(minconf)
    most = 9_999_999 if maxconf is None else whole(maxconf)
    wanted = _scripts(addresses or [])
    node = node_of(context)
    with node.lock:
        only = _asset_named(node, asset) if isinstance(asset, str) and asset else None
        return [
            view
            for outpoint, coin in _own_coins(node)
            if (not wanted or coin.output.script in wanted)
            and (only is None or coin.output.asset[1:] == only)
            and least <= _depth(node, coin) <= most
            for view in [_unspent_view(node, outpoint, coin)]
        ]


@REGISTRY.method('listissuances ( "asset" )', "asset:?")
def listissuances(context: Context, asset: Any) -> list[Json]:
    """The issuances and reissuances in transactions of the wallet, ordered by transaction id."""
    check_types((asset, "string"))
    if asset is not None and len(from_hex(asset) or b"") != 32:
        raise RpcError(TYPE_ERROR, "Asset must be a hex string of length 64")
    node = node_of(context)
    with node.lock:
        views = [
            _issuance_view(node, transaction, index, spending)
            for transaction in _own_transactions(node)
            for index, spending in enumerate(transaction.inputs)
            if spending.issuance is not None
        ]
    return [view for view in views if asset is None or view["asset"] == asset]


def _own_transactions(node: OceanNode) -> list[Transaction]:
    """Transactions, confirmed or waiting, that pay to the wallet; those that only spend from it are left out."""
    confirmed = [transaction for entry in node.chain.active for transaction in entry.block.transactions]
    waiting = [entry.transaction for entry in node.mempool.in_order()]
    own = [tx for tx in [*confirmed, *waiting] if any(node.wallet.owns(out.script) != "none" for out in tx.outputs)]
    return sorted(own, key=lambda transaction: transaction.txid)


def _issuance_view(node: OceanNode, transaction: Transaction, index: int, spending: TxInput) -> Json:
    issuance = spending.issuance
    if issuance is None:
        return {}
    entropy, asset, token = issued_assets(spending, issuance)
    view: Json = {"isreissuance": issuance.is_reissuance}
    if not issuance.is_reissuance:
        view["token"] = display_hash(token)
        view |= {"tokenamount": coins(explicit_amount(issuance.token_amount) or 0), "tokenblinds": NO_BLINDER}
    view |= {"entropy": display_hash(entropy), "txid": display_hash(transaction.txid), "vin": index}
    view["asset"] = display_hash(asset)
    if asset in node.params.labels:
        view["assetlabel"] = node.params.labels[asset]
    return view | {"assetamount": coins(explicit_amount(issuance.amount) or 0), "assetblinds": NO_BLINDER}


def _own_coins(node: OceanNode) -> list[tuple[bytes, Coin]]:
    """Outputs of the wallet, confirmed or waiting, in the order of their transactions' ids (as bytes)."""
    height = node.chain.tip.height + 1
    found = {
        outpoint: coin
        for outpoint, coin in node.chain.coins.coins.items()
        if node.wallet.owns(coin.output.script) != "none"
        and (not coin.coinbase or height - coin.height >= node.chain.rules.maturity)
    }
    for entry in node.mempool.entries.values():
        for index, output in enumerate(entry.transaction.outputs):
            coin = node.mempool.get(entry.transaction.outpoint(index))
            if coin is not None and node.wallet.owns(output.script) != "none":
                found[entry.transaction.outpoint(index)] = coin
    unspent = ((outpoint, coin) for outpoint, coin in found.items() if not node.mempool.is_spent(outpoint))
    return sorted(unspent, key=lambda item: (item[0][:32], int.from_bytes(item[0][32:], "little")))


def _depth(node: OceanNode, coin: Coin) -> int:
    return 0 if coin.height == MEMPOOL_HEIGHT else node.chain.tip.height - coin.height + 1


def _unspent_view(node: OceanNode, outpoint: bytes, coin: Coin) -> Json:
    output, wallet = coin.output, node.wallet
    view: Json = {"txid": display_hash(outpoint[:32]), "vout": int.from_bytes(outpoint[32:], "little")}
    address = address_of(output.script)
    redeem = wallet.redeem_scripts.get(output.script[2:22])
    if address is not None:
        view["address"] = address
        if output.script in wallet.labels:
            view["account"] = wallet.labels[output.script]
        if redeem is not None and script_type(output.script) == "scripthash":
            view["redeemScript"] = redeem.hex()
    view |= {"scriptPubKey": output.script.hex(), "amount": coins(output.satoshi or 0)}
    view["asset"] = display_hash(output.asset[1:])
    label = node.params.labels.get(output.asset[1:])
    if label is not None:
        view["assetlabel"] = label
    spendable = wallet.owns(output.script) == "spendable"
    return view | {
        "confirmations": _depth(node, coin),
        "spendable": spendable,
        "solvable": spendable,
        "blinder": NO_BLINDER,
        "assetblinder": NO_BLINDER,
    }


def _balance(node: OceanNode) -> Json:
    totals: Counter[str] = Counter()
    for _, coin in _own_coins(node):
        if node.wallet.owns(coin.output.script) == "spendable" and _depth(node, coin):
            asset = coin.output.asset[1:]
            totals[node.params.labels.get(asset, display_hash(asset))] += coin.output.satoshi or 0
    return {name: coins(total) for name, total in sorted(totals.items())}


def _scripts(addresses: list[Any]) -> set[bytes]:
    scripts: set[bytes] = set()
    for address in addresses:
        found = script_of(text(address))
        if found is None:
            raise RpcError(INVALID_ADDRESS_OR_KEY, f"{BAD_ADDRESS}: {address}")
        if found[0] in scripts:
            raise RpcError(INVALID_PARAMETER, f"Invalid parameter, duplicated address: {address}")
        scripts.add(found[0])
    return scripts


def _asset_named(node: OceanNode, name: str) -> bytes:
    by_label = {label: asset for asset, label in node.params.labels.items()}
    return by_label.get(name) or internal_hash(hash_of(name, "asset"))
