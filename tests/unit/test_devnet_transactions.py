"""Transactions on the embedded chain: scripts with real signatures, amounts, locks, fees, replacement, issuance.

The texts of the verdicts are those of Elements 28.99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import wallycore as wally

from fedsm.chains.script import Multisig
from fedsm.chains.transactions import ISSUANCE_BIT
from fedsm.devnet import Devnet, federation_params
from fedsm.devnet.encoding import push
from fedsm.devnet.payments import next_payments
from fedsm.devnet.rejection import Rejection
from fedsm.devnet.transaction import explicit_value
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_PUBKEY,
    FUNDS_SCRIPT,
    RpcClient,
    build,
    decode,
    der,
    finish,
    free_coins,
    mine,
    running,
    secrets_of,
    set_witness,
    sign_funds,
    sign_segwit,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedsm.devnet.node import Node
    from fedsm.devnet.transaction import Transaction

MEMBERS = load("rpc_errors")["chains"][0]["members"]
SECRETS = secrets_of(MEMBERS)
KEYS = list(SECRETS)
SECRET = list(SECRETS.values())
COIN = 100_000
FEE = 1000
EVAL_FALSE = "Script evaluated without error but finished with a false/empty top stack element"
NULLFAIL = "Signature must be zero for failed CHECK(MULTI)SIG operation"


def _multisig_script(needed: int, keys: Sequence[bytes]) -> bytes:
    return bytes([0x50 + needed]) + b"".join(b"\x21" + key for key in keys) + bytes([0x50 + len(keys), 0xAE])


FEDERATION = Multisig(3, tuple(KEYS))
MULTISIG = _multisig_script(2, KEYS[:3])
HEIGHT_LOCK = b"\x01\x14\xb1\x75\x51"  # 20 OP_CHECKLOCKTIMEVERIFY OP_DROP OP_TRUE
AGE_LOCK = b"\x52\xb2\x75\x51"  # 2 OP_CHECKSEQUENCEVERIFY OP_DROP OP_TRUE
EITHER = b"\x63\x21" + KEYS[0] + b"\xac\x67\x51\x68"  # OP_IF key OP_CHECKSIG OP_ELSE OP_TRUE OP_ENDIF
PREIMAGE = b"\xa8\x20" + bytes(wally.sha256(b"secret")) + b"\x87"
P2PKH = b"\x76\xa9\x14" + bytes(wally.hash160(KEYS[0])) + b"\x88\xac"
P2WPKH = b"\x00\x14" + P2PKH[3:23]
P2PK = b"\x21" + KEYS[0] + b"\xac"


def _p2wsh(script: bytes) -> bytes:
    return b"\x00\x20" + bytes(wally.sha256(script))


def _p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + bytes(wally.hash160(script)) + b"\x87"


OUTPUTS = {
    "p2wpkh": P2WPKH,
    "p2pkh": P2PKH,
    "p2pk": P2PK,
    "true": b"\x51",
    "bare multisig": MULTISIG,
    "p2wsh multisig": _p2wsh(MULTISIG),
    "p2sh multisig": _p2sh(MULTISIG),
    "p2sh-p2wsh multisig": _p2sh(_p2wsh(MULTISIG)),
    "p2sh-p2wpkh": _p2sh(P2WPKH),
    "p2wsh height lock": _p2wsh(HEIGHT_LOCK),
    "p2wsh age lock": _p2wsh(AGE_LOCK),
    "p2wsh either": _p2wsh(EITHER),
    "p2wsh preimage": _p2wsh(PREIMAGE),
}
NAMES = list(OUTPUTS)


@dataclass
class Funded:
    """A chain with one coin of each kind of script."""

    devnet: Devnet
    client: RpcClient
    funding: Transaction

    @property
    def node(self) -> Node:
        return self.devnet.services[0].node

    def spend(self, name: str, *, sequence: int = 0xFFFF_FFFF, locktime: int = 0, fee: int = FEE) -> Any:
        """The handle of an unsigned transaction of that coin to the test money's script."""
        outputs = [(FUNDS_SCRIPT, COIN - fee), (b"", fee)]
        asset = self.node.params.policy_asset
        return build([(self.funding.txid, NAMES.index(name))], outputs, asset, sequence=sequence, locktime=locktime)

    def verdict(self, handle: Any) -> str:
        """``ok``, or why the mempool refuses the transaction."""
        answer = self.client.call("testmempoolaccept", [finish(handle).raw.hex()])[0]
        return "ok" if answer["allowed"] else str(answer["reject-reason"])


@pytest.fixture(scope="module")
def funded() -> Iterator[Funded]:
    params = federation_params(FEDERATION, initial_free_coins=10_000_000_000)
    with running(params) as devnet:
        node = devnet.services[0].node
        mine(node, SECRETS)
        funding = free_coins(params, [(script, COIN) for script in OUTPUTS.values()], 10_000)
        node.add_transaction(funding)
        mine(node, SECRETS)
        yield Funded(devnet, RpcClient(devnet.services[0]), funding)


def _legacy_signatures(handle: Any, code: bytes, secrets: Sequence[bytes]) -> list[bytes]:
    digest = bytes(wally.tx_get_elements_signature_hash(handle, 0, code, None, 1, 0))
    return [der(secret, digest) + b"\x01" for secret in secrets]


def _pushes(items: Sequence[bytes]) -> bytes:
    return b"".join(push(item) if item else b"\x00" for item in items)


def _sign(handle: Any, name: str, secrets: Sequence[bytes]) -> None:
    """Satisfy the coin of that name with these keys, in this order."""
    segwit = {"p2wpkh": P2PKH, "p2sh-p2wpkh": P2PKH, "p2wsh multisig": MULTISIG, "p2sh-p2wsh multisig": MULTISIG}
    legacy = {"p2pkh": P2PKH, "p2pk": P2PK, "bare multisig": MULTISIG, "p2sh multisig": MULTISIG}
    if name in segwit:
        signatures = sign_segwit(handle, 0, segwit[name], COIN, secrets)
        multisig = "multisig" in name
        set_witness(handle, 0, [b"", *signatures, MULTISIG] if multisig else [*signatures, KEYS[0]])
        if name.startswith("p2sh"):
            wally.tx_set_input_script(handle, 0, push(_p2wsh(MULTISIG) if multisig else P2WPKH))
        return
    signatures = _legacy_signatures(handle, legacy[name], secrets)
    before = {"p2pkh": [], "p2pk": []}.get(name, [b""])
    after = {"p2pkh": [KEYS[0]], "p2sh multisig": [MULTISIG]}.get(name, [])
    wally.tx_set_input_script(handle, 0, _pushes([*before, *signatures, *after]))


SINGLE = ["p2wpkh", "p2pkh", "p2pk", "p2sh-p2wpkh"]
MULTI = ["bare multisig", "p2wsh multisig", "p2sh multisig", "p2sh-p2wsh multisig"]


@pytest.mark.parametrize("name", SINGLE)
def test_a_key_script_wants_the_right_key(funded: Funded, name: str) -> None:
    for secret, wanted in ((SECRET[0], "ok"), (SECRET[1], f"mandatory-script-verify-flag-failed ({EVAL_FALSE})")):
        handle = funded.spend(name)
        _sign(handle, name, [secret])
        assert funded.verdict(handle) == wanted


@pytest.mark.parametrize("name", MULTI)
def test_a_multisig_wants_enough_signatures_in_key_order(funded: Funded, name: str) -> None:
    handle = funded.spend(name)
    _sign(handle, name, [SECRET[0], SECRET[2]])
    assert funded.verdict(handle) == "ok"
    for secrets in ([SECRET[2], SECRET[0]], [SECRET[0], SECRET[4]]):
        handle = funded.spend(name)
        _sign(handle, name, secrets)
        assert funded.verdict(handle) == f"mandatory-script-verify-flag-failed ({EVAL_FALSE})"


def test_an_unsigned_spend_of_an_anyone_can_spend_coin_is_taken(funded: Funded) -> None:
    assert funded.verdict(funded.spend("true")) == "ok"


def test_a_high_s_signature_breaks_policy_but_not_the_chain(funded: Funded) -> None:
    handle = funded.spend("p2wpkh")
    low = sign_segwit(handle, 0, P2PKH, COIN, [SECRET[0]])[0]
    compact = bytes(wally.ec_sig_from_der(low[:-1]))
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = compact[:32] + (order - int.from_bytes(compact[32:], "big")).to_bytes(32, "big")
    set_witness(handle, 0, [bytes(wally.ec_sig_to_der(high)) + b"\x01", KEYS[0]])
    text = "non-mandatory-script-verify-flag (Non-canonical signature: S value is unnecessarily high)"
    assert funded.verdict(handle) == text


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ([b"secret", PREIMAGE], "ok"),
        ([b"wrong", PREIMAGE], f"mandatory-script-verify-flag-failed ({EVAL_FALSE})"),
        ([b"x", b"secret", PREIMAGE],
         "mandatory-script-verify-flag-failed (Stack size must be exactly one after execution)"),
        ([b"secret", PREIMAGE + b"\x61"], "mandatory-script-verify-flag-failed (Witness program hash mismatch)"),
    ],
)  # fmt: skip
def test_a_witness_script_is_run_on_its_items(funded: Funded, items: list[bytes], wanted: str) -> None:
    handle = funded.spend("p2wsh preimage")
    set_witness(handle, 0, items)
    assert funded.verdict(handle) == wanted


def test_a_missing_witness_is_named(funded: Funded) -> None:
    text = "mandatory-script-verify-flag-failed (Witness program was passed an empty witness)"
    assert funded.verdict(funded.spend("p2wsh preimage")) == text


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ([b"", EITHER], "ok"),
        ([b"\x02", EITHER], "non-mandatory-script-verify-flag (OP_IF/NOTIF argument must be minimal)"),
        ([b"", b"\x01", EITHER], f"mandatory-script-verify-flag-failed ({EVAL_FALSE})"),
    ],
)
def test_branches_are_taken_by_their_condition(funded: Funded, items: list[bytes], wanted: str) -> None:
    handle = funded.spend("p2wsh either")
    set_witness(handle, 0, items)
    if items[0] == b"\x02":
        signature = sign_segwit(handle, 0, EITHER, COIN, [SECRET[0]])[0]
        set_witness(handle, 0, [signature, *items])
    assert funded.verdict(handle) == wanted


def test_script_locks_look_at_locktime_and_sequence(funded: Funded) -> None:
    def verdict(name: str, script: bytes, **form: int) -> str:
        handle = funded.spend(name, **form)
        set_witness(handle, 0, [script])
        return funded.verdict(handle)

    unsatisfied = "mandatory-script-verify-flag-failed (Locktime requirement not satisfied)"
    assert verdict("p2wsh height lock", HEIGHT_LOCK) == unsatisfied
    assert verdict("p2wsh height lock", HEIGHT_LOCK, locktime=20, sequence=1) == "non-final"
    assert verdict("p2wsh age lock", AGE_LOCK) == unsatisfied
    assert verdict("p2wsh age lock", AGE_LOCK, sequence=2) == "non-BIP68-final"


@pytest.mark.parametrize(
    ("outputs", "wanted"),
    [
        ([(FUNDS_SCRIPT, COIN - FEE), (b"", FEE + 1)], "bad-txns-in-ne-out"),
        ([(FUNDS_SCRIPT, COIN - FEE), (b"", FEE - 1)], "bad-txns-in-ne-out"),
        ([(FUNDS_SCRIPT, COIN)], "min relay fee not met"),
        ([(FUNDS_SCRIPT, COIN - FEE), (b"", FEE), (b"", 0)], "bad-txns-fee-outofrange"),
        ([(FUNDS_SCRIPT, 2_100_000_000_000_001), (b"", FEE)], "bad-txns-vout-toolarge"),
        ([(FUNDS_SCRIPT, COIN - FEE - 5), (FUNDS_SCRIPT, 5), (b"", FEE)], "dust"),
        ([(b"\x51\x52\x93", COIN - FEE), (b"", FEE)], "scriptpubkey"),
        ([(FUNDS_SCRIPT, COIN - FEE), (b"\x6a", 0), (b"\x6a", 0), (b"", FEE)], "multi-op-return"),
        ([(FUNDS_SCRIPT, COIN - FEE), (b"\x6a" + push(bytes(81)), 0), (b"", FEE)], "scriptpubkey"),
        ([(FUNDS_SCRIPT, COIN - FEE), (b"\x6a" + push(bytes(80)), 0), (b"", FEE)], "ok"),
    ],
)
def test_amounts_and_output_forms_are_judged(funded: Funded, outputs: list[tuple[bytes, int]], wanted: str) -> None:
    spends = [(funded.funding.txid, NAMES.index("true"))]
    assert funded.verdict(build(spends, outputs, funded.node.params.policy_asset)) == wanted


def test_a_coin_cannot_be_spent_twice_in_one_transaction(funded: Funded) -> None:
    spends = [(funded.funding.txid, NAMES.index("true"))] * 2
    handle = build(spends, [(FUNDS_SCRIPT, 2 * COIN - FEE), (b"", FEE)], funded.node.params.policy_asset)
    assert funded.verdict(handle) == "bad-txns-inputs-duplicate"


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


class Issuer:
    """An asset whose reissuance token sits, blinded, on a P2WSH multisig: as a federation would hold it."""

    def __init__(self, payments: Payments) -> None:
        self.payments = payments
        self.script = _p2wsh(MULTISIG)
        self.abf, self.vbf = bytes([1] * 32), bytes([2] * 32)
        self.blinding = bytes([3] * 32)

    def issue(self) -> Transaction:
        """One explicit asset unit and one blinded token."""
        asset = self.payments.node.params.policy_asset
        source = self.payments.funding.txid
        self.entropy = bytes(wally.tx_elements_issuance_generate_entropy(source, 0, bytes(32)))
        self.asset = bytes(wally.tx_elements_issuance_calculate_asset(self.entropy))
        self.token = bytes(wally.tx_elements_issuance_calculate_reissuance_token(self.entropy, 0))
        handle = wally.tx_init(2, 0, 1, 4)
        issuance = (bytes(32), bytes(32), explicit_value(1), explicit_value(1))
        wally.tx_add_elements_raw_input(
            handle, source, ISSUANCE_BIT, 0xFFFF_FFFF, None, None, *issuance, None, None, None, 0
        )
        self._explicit(handle, FUNDS_SCRIPT, COIN - FEE, asset)
        self._explicit(handle, FUNDS_SCRIPT, 1, b"\x01" + self.asset)
        self._blinded(handle, self.abf, self.vbf)
        self._explicit(handle, None, FEE, asset)
        sign_funds(handle, 0, COIN)
        return finish(handle)

    def reissue(self, issue: Transaction, amount: int, nonce: bytes | None = None) -> Transaction:
        """Spend the token, which two members sign, to make more of the asset; the token goes back."""
        asset = self.payments.node.params.policy_asset
        handle = wally.tx_init(2, 0, 2, 4)
        issuance = (nonce or self.abf, self.entropy, explicit_value(amount), None)
        wally.tx_add_elements_raw_input(
            handle, issue.txid, 2 | ISSUANCE_BIT, 0xFFFF_FFFF, None, None, *issuance, None, None, None, 0
        )
        nothing = (None,) * 9
        wally.tx_add_elements_raw_input(handle, issue.txid, 0, 0xFFFF_FFFF, *nothing, 0)
        self._explicit(handle, FUNDS_SCRIPT, amount, b"\x01" + self.asset)
        self._blinded(handle, bytes([4] * 32), bytes([5] * 32))
        self._explicit(handle, FUNDS_SCRIPT, COIN - 2 * FEE, asset)
        self._explicit(handle, None, FEE, asset)
        value = issue.outputs[2].value
        flags = wally.WALLY_TX_FLAG_USE_WITNESS
        digest = bytes(wally.tx_get_elements_signature_hash(handle, 0, MULTISIG, value, 1, flags))
        set_witness(handle, 0, [b"", *(der(secret, digest) + b"\x01" for secret in SECRET[:2]), MULTISIG])
        sign_funds(handle, 1, COIN - FEE)
        return finish(handle)

    def _explicit(self, handle: Any, script: bytes | None, satoshi: int, asset: bytes) -> None:
        wally.tx_add_elements_raw_output(handle, script, asset, explicit_value(satoshi), None, None, None, 0)

    def _blinded(self, handle: Any, abf: bytes, vbf: bytes) -> None:
        """The token, one unit, hidden; the proofs are shaped like proofs, which is all that is looked at."""
        generator = bytes(wally.asset_generator_from_bytes(self.token, abf))
        value = bytes(wally.asset_value_commitment(1, vbf, generator))
        nonce = bytes(wally.ec_public_key_from_private_key(self.blinding))
        wally.tx_add_elements_raw_output(handle, self.script, generator, value, nonce, bytes(67), bytes(400), 0)


def test_a_token_in_a_multisig_reissues_its_asset(payments: Payments) -> None:
    issuer = Issuer(payments)
    issue = issuer.issue()
    payments.client.call("sendrawtransaction", issue.raw.hex())
    mine(payments.node, SECRETS)
    reissue = issuer.reissue(issue, 5000)
    assert payments.client.call("sendrawtransaction", reissue.raw.hex())
    mine(payments.node, SECRETS)
    decoded = payments.client.call("getrawtransaction", reissue.txid[::-1].hex(), True)
    issuance = decoded["vin"][0]["issuance"]
    assert issuance["isreissuance"] is True
    assert issuance["asset"] == issuer.asset[::-1].hex()
    assert str(issuance["assetamount"]) == "0.00005000"
    assert decoded["vout"][1]["assetcommitment"] == reissue.outputs[1].asset.hex()


def test_a_reissuance_with_another_blinder_than_the_tokens_is_refused(payments: Payments) -> None:
    issuer = Issuer(payments)
    issue = issuer.issue()
    payments.client.call("sendrawtransaction", issue.raw.hex())
    mine(payments.node, SECRETS)
    bad = issuer.reissue(issue, 5000, nonce=bytes([9] * 32))
    message = "bad-txns-in-ne-out, value in != value out"
    assert payments.client.error("sendrawtransaction", bad.raw.hex()) == (-26, message)


def test_the_funding_key_of_these_tests_owns_the_test_money() -> None:
    assert FUNDS_SCRIPT[2:] == bytes(wally.hash160(FUNDS_PUBKEY))
