"""Clients with keys of their own, beside a node of the embedded chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from fedsm.chains.rpc import NodeRpc, RpcError, RpcUnavailable
from fedsm.clients.base import SATOSHI, ClientError
from fedsm.clients.opening import open_clients, open_teller
from fedsm.clients.teller import Teller
from fedsm.clients.traffic import Traffic
from fedsm.demo.cast import demo_secrets, multisig_of
from fedsm.devnet.network import Devnet
from fedsm.devnet.ocean.params import ocean_params
from fedsm.devnet.params import federation_params

MULTISIG = multisig_of(demo_secrets(1, "clients"), 1)


@pytest.fixture(params=["elements", "ocean"])
def devnet(request: pytest.FixtureRequest) -> Iterator[Devnet]:
    params = federation_params(MULTISIG) if request.param == "elements" else ocean_params(MULTISIG)
    with Devnet(1, params) as running:
        yield running


def rpc_of(devnet: Devnet) -> NodeRpc:
    return NodeRpc(devnet.services[0].url, cookie_file=devnet.services[0].cookie_file)


def held(teller: Teller, asset: str) -> list[int]:
    """What each holder has of an asset, in units."""
    name = bytes.fromhex(asset)[::-1]
    return [sum(coin.satoshi for coin in holder.of_asset(name)) // SATOSHI for holder in teller.holders]


class Unreliable:
    """A node whose answer to the next transaction is lost, after it was taken."""

    def __init__(self, rpc: NodeRpc) -> None:
        self._rpc = rpc
        self.loses_answer = False

    def call(self, method: str, params: Sequence[object] = (), *, timeout_ms: int | None = None) -> Any:
        answer = self._rpc.call(method, params, timeout_ms=timeout_ms)
        if method == "sendrawtransaction" and self.loses_answer:
            self.loses_answer = False
            raise RpcUnavailable("dropped", "the connection is gone")
        return answer


def test_an_asset_goes_to_and_fro_and_none_of_it_is_lost(devnet: Devnet) -> None:
    teller = open_teller(rpc_of(devnet))
    asset = teller.issue(1000 * SATOSHI)
    assert held(teller, asset) == [1000, 0]
    paid = [teller.pay(asset, units * SATOSHI).satoshi // SATOSHI for units in (10, 3, 20, 500)]
    assert paid == [10, 3, 20, 27], "nobody pays more than it has"
    assert held(teller, asset) == [1000, 0]
    waiting = [transaction.transaction for transaction in devnet.services[0].node.mempool.in_order()]
    outputs = [out for transaction in waiting for out in transaction.outputs]
    ours = [out.satoshi for out in outputs if out.asset[1:] == bytes.fromhex(asset)[::-1]]
    assert sorted(ours)[-1] == 1000 * SATOSHI, "explicit amounts on the chain"


def test_several_tellers_find_coins_on_one_chain(devnet: Devnet) -> None:
    tellers = [open_teller(rpc_of(devnet)) for _ in range(3)]
    assets = [teller.issue(5 * SATOSHI) for teller in tellers]
    assert len(set(assets)) == 3
    for teller, asset in zip(tellers, assets, strict=True):
        assert teller.pay(asset, SATOSHI).asset == asset


def test_transactions_that_the_node_has_forgotten_are_given_to_it_again(devnet: Devnet) -> None:
    teller = open_teller(rpc_of(devnet))
    asset = teller.issue(1000 * SATOSHI)
    teller.pay(asset, SATOSHI)
    node = devnet.services[0].node
    node.mempool = node._new_mempool(node.mempool._cache, require_standard=False)
    last = teller.pay(asset, SATOSHI)
    assert len(node.mempool.entries) >= 3
    assert bytes.fromhex(last.txid)[::-1] in node.mempool.entries


def test_a_payment_whose_answer_was_lost_is_not_made_twice(devnet: Devnet) -> None:
    unreliable = Unreliable(rpc_of(devnet))
    teller = open_teller(unreliable)
    asset = teller.issue(1000 * SATOSHI)
    unreliable.loses_answer = True
    with pytest.raises(RpcUnavailable):
        teller.pay(asset, 7 * SATOSHI)
    before = len(devnet.services[0].node.mempool.entries)
    teller.pay(asset, 2 * SATOSHI)
    assert held(teller, asset) == [995, 5]
    assert len(devnet.services[0].node.mempool.entries) == before + 1


def test_what_the_node_refuses_leaves_the_coins_where_they_were(devnet: Devnet) -> None:
    teller = open_teller(rpc_of(devnet))
    asset = teller.issue(1000 * SATOSHI)
    with pytest.raises(RpcError, match="too-long-mempool-chain"):
        pay_for_ever(teller, asset)
    before = held(teller, asset)
    with pytest.raises(RpcError, match="too-long-mempool-chain"):
        pay_for_ever(teller, asset)
    assert held(teller, asset) == before


def pay_for_ever(teller: Teller, asset: str) -> None:
    while True:
        teller.pay(asset, SATOSHI)


def test_without_coins_to_spend_one_line_says_what_is_missing() -> None:
    with Devnet(1, federation_params(MULTISIG, initial_free_coins=0)) as devnet:
        clients = open_clients(rpc_of(devnet))
        with pytest.raises(ClientError, match="no coins that anyone can spend, and the node no wallet with money"):
            clients.issue(SATOSHI)


def test_traffic_says_what_its_trouble_is_and_goes_on(devnet: Devnet) -> None:
    teller = open_teller(rpc_of(devnet))
    asset = teller.issue(1000 * SATOSHI)
    traffic = Traffic(teller, ["cd" * 32, asset], 0.01)
    traffic.start()
    while not traffic.payments:
        assert traffic.is_alive()
    traffic.stop()
    traffic.join()
    assert traffic.stopped()
    assert {payment.asset for payment in traffic.payments} == {asset}
    only_trouble = Traffic(teller, ["cd" * 32], 0.01)
    only_trouble._pay("cd" * 32)
    assert only_trouble.trouble == f"nobody has anything of asset {'cd' * 32}"
