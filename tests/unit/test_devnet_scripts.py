"""Scripts on the embedded chain: coins of every standard kind, spent with real signatures, and output forms.

The texts of the verdicts are those of Elements 28.99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import wallycore as wally

from fedsm.chains.script import Multisig
from fedsm.devnet import Devnet, federation_params
from fedsm.devnet.encoding import push
from tests.elements_vectors import load
from tests.unit.devnet_support import (
    FUNDS_SCRIPT,
    RpcClient,
    build,
    der,
    finish,
    free_coins,
    mine,
    running,
    secrets_of,
    set_witness,
    sign_segwit,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedsm.chains.transaction import Transaction
    from fedsm.devnet.node import Node

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
