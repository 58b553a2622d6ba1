"""The mempool of the embedded chain: order in blocks, age, replacement, limits, ripening.

The texts of the verdicts are those of Elements 28.99.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import wallycore as wally

from fedsm.chains.script import Multisig
from fedsm.devnet import Devnet, federation_params
from fedsm.devnet.payments import next_payments
from fedsm.devnet.rejection import Rejection
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_PUBKEY,
    FUNDS_SCRIPT,
    RpcClient,
    build,
    decode,
    finish,
    free_coins,
    mine,
    running,
    secrets_of,
    sign_funds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.chains.transaction import Transaction

MEMBERS = load("rpc_errors")["chains"][0]["members"]
SECRETS = secrets_of(MEMBERS)
KEYS = list(SECRETS)
COIN = 100_000
FEE = 1000
FEDERATION = Multisig(3, tuple(KEYS))


class Payments:
    """A chain with spendable test money."""

    def __init__(self, devnet: Devnet) -> None:
        self.node = devnet.services[0].node
        self.client = RpcClient(devnet.services[0])
        mine(self.node, SECRETS)
        self.funding = free_coins(self.node.params, [(FUNDS_SCRIPT, COIN)] * 30, 4000)
        self.node.add_transaction(self.funding)
        mine(self.node, SECRETS)

    def pay(self, source: Transaction | int, fee: int = 100, *, sequence: int = 0xFFFF_FFFF) -> Transaction:
        """Spend a coin of the funding, or the first output of an earlier payment."""
        number = source if isinstance(source, int) else 0
        parent = self.funding if isinstance(source, int) else source
        satoshi = parent.outputs[number].satoshi or 0
        outputs = [(FUNDS_SCRIPT, satoshi - fee), (b"", fee)]
        handle = build([(parent.txid, number)], outputs, self.node.params.policy_asset, sequence=sequence)
        sign_funds(handle, 0, satoshi)
        return finish(handle)

    def send(self, *args: Any, **form: Any) -> Transaction:
        transaction = self.pay(*args, **form)
        self.client.call("sendrawtransaction", transaction.raw.hex())
        return transaction


@pytest.fixture
def payments() -> Iterator[Payments]:
    with running(federation_params(FEDERATION)) as devnet:
        yield Payments(devnet)


def test_dependent_payments_stand_in_the_block_behind_their_parents(payments: Payments) -> None:
    parent = payments.send(0, 50)
    child = payments.send(parent, 5000)
    other = payments.send(1, 500)
    block = mine(payments.node, SECRETS)
    assert [tx.txid for tx in block.transactions[1:]] == [parent.txid, child.txid, other.txid]
    assert block.transactions[0].outputs[0].satoshi == 5550


def test_young_transactions_stay_out_of_blocks_on_request(payments: Payments) -> None:
    clock = payments.node.clock
    clock.set(int(clock.now()) + 100)
    payments.send(0)
    clock.set(clock.now() + 10)
    payments.send(1)

    def transactions(age: int) -> int:
        text = payments.client.call("getnewblockhex", age)
        return len(decode(text).transactions) - 1

    assert [transactions(age) for age in (0, 1, 10, 11)] == [2, 1, 1, 0]


def test_a_replacement_must_signal_and_pay_for_what_it_evicts(payments: Payments) -> None:
    final = payments.send(0)
    with pytest.raises(Rejection, match=r"txn-mempool-conflict"):
        payments.node.add_transaction(payments.pay(0, 5000))
    first = payments.send(1, 100, sequence=0xFFFF_FFFD)
    child = payments.send(first, 300)
    with pytest.raises(Rejection, match=r"new feerate 0.00000523 BTC/kvB <= old feerate"):
        payments.node.add_transaction(payments.pay(1, 100, sequence=0xFFFF_FFFC))
    with pytest.raises(Rejection, match=r"less fees than conflicting txs; 0.000003 < 0.000004"):
        payments.node.add_transaction(payments.pay(1, 300))
    with pytest.raises(Rejection, match=r"not enough additional fees to relay; 0.0000001 < 0.0000002"):
        payments.node.add_transaction(payments.pay(1, 410))
    winner = payments.send(1, 420)
    assert set(payments.node.mempool.entries) == {final.txid, winner.txid}
    assert child.txid not in payments.node.mempool.entries


def test_long_chains_of_waiting_transactions_are_cut_off(payments: Payments) -> None:
    last = payments.send(0)
    for _ in range(24):
        last = payments.send(last)
    with pytest.raises(Rejection, match=r"too-long-mempool-chain, too many unconfirmed ancestors \[limit: 25\]"):
        payments.node.add_transaction(payments.pay(last))
    entry = payments.client.call("getmempoolentry", last.txid[::-1].hex())
    assert (entry["ancestorcount"], entry["descendantcount"], len(entry["depends"])) == (25, 1, 1)


def test_fees_ripen_for_a_hundred_blocks(payments: Payments) -> None:
    payments.send(0)
    block = mine(payments.node, SECRETS)
    coinbase = block.transactions[0]
    outputs = [(FUNDS_SCRIPT, 60), (b"", 40)]
    spend = finish(build([(coinbase.txid, 0)], outputs, payments.node.params.policy_asset))
    with pytest.raises(Rejection, match=r"premature-spend-of-coinbase, tried to spend coinbase at depth 1"):
        payments.node.add_transaction(spend)
    mine(payments.node, SECRETS, 99)
    payments.node.add_transaction(spend)


def test_unspent_outputs_are_found_with_and_without_the_mempool(payments: Payments) -> None:
    payment = payments.send(0)
    parent, own = payments.funding.txid[::-1].hex(), payment.txid[::-1].hex()
    assert payments.client.call("gettxout", parent, 0) is None
    assert payments.client.call("gettxout", parent, 0, False)["confirmations"] == 1
    assert payments.client.call("gettxout", own, 0)["confirmations"] == 0
    assert payments.client.call("gettxout", own, 1) is None  # the fee
    found = payments.client.call("scantxoutset", "start", [f"raw({FUNDS_SCRIPT.hex()})"])
    assert len(found["unspents"]) == 30


def test_too_high_a_fee_needs_the_senders_consent(payments: Payments) -> None:
    text = payments.pay(0, 50_000).raw.hex()
    message = "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"
    assert payments.client.error("sendrawtransaction", text, "0.002") == (-25, message)
    assert payments.client.call("sendrawtransaction", text, 0)


def test_the_traffic_of_the_demo_splits_the_free_coins_and_then_pays() -> None:
    with running(federation_params(FEDERATION)) as devnet:
        node = devnet.services[0].node
        for expected in (1, 5, 5, 5):
            transactions = next_payments(node, 5)
            assert len(transactions) == expected
            for transaction in transactions:
                node.add_transaction(transaction)
            mine(node, SECRETS)
            assert not node.mempool.entries


def test_the_funding_key_of_these_tests_owns_the_test_money() -> None:
    assert FUNDS_SCRIPT[2:] == bytes(wally.hash160(FUNDS_PUBKEY))
