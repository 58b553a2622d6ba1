"""Reissuance transactions of Elements: recorded ones verified byte for byte, drafts made, proposals judged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fedsm.chains.script import MOST_KEYS, Multisig, parse_multisig
from fedsm.chains.transaction import parse_transaction
from fedsm.reissue.custody import Custody
from fedsm.reissue.draft import DraftError, FeeTerms, make_draft
from fedsm.reissue.judge import MEANINGS, Expected, FeeLimits, objection_to
from fedsm.reissue.multisign import script_sig, signature_digests, with_signatures, worst_case_vsize
from signers.ecdsa import verify_der
from signers.software import SoftwareSigner
from tests.reissue_vectors import KINDS, recorded

# The words of the recording for what is wrong, and ours.
CODES = {
    "amount": "wrong-amount",
    "destination": "wrong-destination",
    "token return": "token-return",
    "token output does not unblind": "token-unblind",
    "token value": "token-value",
    "fee": "fee",
    "fee change": "fee-change",
    "unexpected input/output": "unexpected-input",
    "destination amount": "destination-amount",
    "unexpected issuance": "unexpected-issuance",
}
REISSUANCES = [(kind, i) for kind in KINDS for i in range(len(recorded(kind).scenario["reissuances"]))]
PROPOSALS = [
    pytest.param(kind, case, id=f"{kind}: {case['case']}")
    for kind in KINDS
    for case in recorded(kind).scenario["proposals_to_judge"]["cases"]
]


def values(prevouts):
    return [bytes.fromhex(prevout["value_serialised"]) for prevout in prevouts]


def expected_of(kind, prevouts, request, max_fee=10_000):
    vectors = recorded(kind)
    token, fee_coin = vectors.token(prevouts[0]), vectors.fee_coin(prevouts[1])
    return Expected(
        order=vectors.order(request),
        token=token,
        fee_coins={fee_coin.outpoint: fee_coin.satoshi},
        custody=vectors.custody,
        limits=FeeLimits(vectors.policy_asset, max_fee),
    )


def honest_case(kind):
    proposals = recorded(kind).scenario["proposals_to_judge"]
    return proposals["cases"][0], proposals["request"]


def draft_of(kind, **changes):
    """A draft of ours for the recorded honest case, with the judge's expectation of it."""
    case, request = honest_case(kind)
    vectors, expected = recorded(kind), expected_of(kind, case["prevouts"], request)
    order = dataclasses.replace(expected.order, **changes)
    terms = FeeTerms(vectors.policy_asset, rate=100)
    fee_coin = vectors.fee_coin(case["prevouts"][1])
    return make_draft(order, expected.token, fee_coin, vectors.custody, terms), expected


@pytest.mark.parametrize("kind", KINDS)
def test_scripts_and_tags_are_those_of_the_node(kind):
    vectors = recorded(kind)
    assert vectors.custody.script_pubkey.hex() == vectors.scenario["multisig"]["scriptPubKey"]
    assert vectors.custody.blinding_public_key.hex() == vectors.scenario["multisig"]["blinding_key"]["pubkey"]
    assert vectors.tags.asset[::-1].hex() == vectors.scenario["asset"]["asset"]
    assert vectors.tags.token[::-1].hex() == vectors.scenario["asset"]["token"]


@pytest.mark.parametrize(("kind", "index"), REISSUANCES)
def test_a_recorded_reissuance_is_signed_and_assembled_to_the_same_bytes(kind, index):
    vectors = recorded(kind)
    reissuance = vectors.scenario["reissuances"][index]
    unsigned = bytes.fromhex(reissuance["unsigned_tx_hex"])
    digests = signature_digests(unsigned, values(reissuance["prevouts"]), vectors.custody)
    assert [digest.hex() for digest in digests] == [sighash["digest"] for sighash in reissuance["sighashes"]]
    members = reissuance["own_assembly_members"]
    signatures = [{m: vectors.signers[m].sign_block(digest, b"") for m in members} for digest in digests]
    complete = with_signatures(unsigned, signatures, vectors.custody)
    assert complete.hex() == reissuance["final_tx_hex"]
    assert parse_transaction(complete).txid[::-1].hex() == reissuance["testmempoolaccept"]["txid"]
    assert parse_transaction(complete).vsize <= worst_case_vsize(unsigned, vectors.custody)


@pytest.mark.parametrize(("kind", "index"), REISSUANCES)
def test_the_token_of_a_recorded_reissuance_unblinds_as_the_node_says(kind, index):
    vectors = recorded(kind)
    reissuance = vectors.scenario["reissuances"][index]
    transaction = parse_transaction(bytes.fromhex(reissuance["unsigned_tx_hex"]))
    opened = [
        vectors.custody.unblind(*pair) for pair in zip(transaction.outputs, transaction.output_witness, strict=True)
    ]
    [found] = [held for held in opened if held is not None]
    [told] = [o for o in reissuance["member_view"]["outputs"] if o.get("unblinds_with_shared_key")]
    assert (found.value, found.asset[::-1].hex()) == (told["value_satoshi"], told["asset"])
    assert found.asset_blinder.hex() == told["asset_blinder_internal"]
    assert found.value_blinder.hex() == told["amount_blinder_internal"]


@pytest.mark.parametrize(("kind", "index"), REISSUANCES)
def test_recorded_reissuances_are_found_acceptable_whoever_built_them(kind, index):
    reissuance = recorded(kind).scenario["reissuances"][index]
    expected = expected_of(kind, reissuance["prevouts"], reissuance["request"])
    assert objection_to(bytes.fromhex(reissuance["unsigned_tx_hex"]), expected) is None


@pytest.mark.parametrize(("kind", "case"), PROPOSALS)
def test_proposals_that_the_node_would_accept_are_told_apart(kind, case):
    request = recorded(kind).scenario["proposals_to_judge"]["request"]
    assert case["node_would_allow_when_fully_signed"]
    expected = expected_of(kind, case["prevouts"][:2], request, request["max_fee_satoshi"])
    objection = objection_to(bytes.fromhex(case["unsigned_tx_hex"]), expected)
    if case["expected"] == "accept":
        assert objection is None
    else:
        assert objection is not None
        assert objection.code == CODES[case["reason"]]
        assert objection.code in MEANINGS


def test_an_extra_input_is_refused_though_it_is_a_coin_of_ours():
    vectors = recorded("p2wsh")
    proposals = vectors.scenario["proposals_to_judge"]
    request = proposals["request"]
    [case] = [case for case in proposals["cases"] if "extra federation" in case["case"]]
    coins = {c.outpoint: c.satoshi for c in map(vectors.fee_coin, case["prevouts"][1:])}
    expected = expected_of("p2wsh", case["prevouts"], request)._replace(fee_coins=coins)
    objection = objection_to(bytes.fromhex(case["unsigned_tx_hex"]), expected)
    assert objection is not None
    assert objection.code == "unexpected-input"


@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_of_ours_is_acceptable_and_the_same_each_time(kind):
    draft, expected = draft_of(kind)
    assert objection_to(draft, expected) is None
    assert draft_of(kind)[0] == draft
    assert draft_of(kind, due_height=101)[0] != draft


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": 700_000_001}, "wrong-amount"),
        ({"destination": bytes.fromhex("0014") + bytes(20)}, "wrong-destination"),
    ],
)
def test_a_draft_for_another_order_is_refused(changes, code):
    draft, expected = draft_of("p2wsh", **changes)
    objection = objection_to(draft, expected)
    assert objection is not None
    assert objection.code == code


def test_every_single_byte_of_a_draft_is_covered_by_the_judge_or_by_the_proofs():
    """Flip a bit of each byte: what the judge lets pass changes nothing but proofs and input sequences."""
    draft, expected = draft_of("p2wsh")
    original = parse_transaction(draft)
    passed = set()
    for position in range(len(draft)):
        changed = draft[:position] + bytes([draft[position] ^ 1]) + draft[position + 1 :]
        if objection_to(changed, expected) is None:
            other = parse_transaction(changed)
            assert other.outputs == original.outputs
            assert [i.outpoint for i in other.inputs] == [i.outpoint for i in original.inputs]
            assert [i.issuance for i in other.inputs] == [i.issuance for i in original.inputs]
            passed.add(position)
    assert len(passed) < len(draft) // 2


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "undecodable"), (b"\x02" * 100, "undecodable"), (bytes(20_001), "undecodable")],
)
def test_garbage_is_refused(data, code):
    objection = objection_to(data, draft_of("p2wsh")[1])
    assert objection is not None
    assert objection.code == code


def test_a_draft_that_is_signed_already_or_not_final_is_refused():
    draft, expected = draft_of("p2wsh")
    signed = with_signatures(draft, [{0: bytes(70), 1: bytes(70), 2: bytes(70)}] * 2, expected.custody)
    locked = draft[: parse_transaction(draft).base_size - 4] + b"\x01\x00\x00\x00"
    locked += draft[parse_transaction(draft).base_size :]
    found = [objection_to(data, expected) for data in (signed, locked)]
    assert [objection.code for objection in found if objection] == ["already-signed", "locktime"]


def test_the_fee_follows_the_rate_and_covers_the_signed_size():
    case, _ = honest_case("p2wsh")
    vectors, (_, expected) = recorded("p2wsh"), draft_of("p2wsh")
    fee_coin = vectors.fee_coin(case["prevouts"][1])
    terms = FeeTerms(vectors.policy_asset, rate=1000)
    draft = make_draft(expected.order, expected.token, fee_coin, vectors.custody, terms)
    [fee] = parse_transaction(draft).fees.values()
    assert fee == worst_case_vsize(draft, vectors.custody)
    small = dataclasses.replace(fee_coin, satoshi=1500)
    with pytest.raises(DraftError, match="the fee coin holds 1500 satoshi"):
        make_draft(expected.order, expected.token, small, vectors.custody, terms)


def test_without_a_fee_coin_there_is_no_fee_and_nothing_but_amount_and_token():
    vectors, (_, expected) = recorded("p2wsh"), draft_of("p2wsh")
    terms = FeeTerms(vectors.policy_asset, rate=0)
    draft = make_draft(expected.order, expected.token, None, vectors.custody, terms)
    transaction = parse_transaction(draft)
    assert (len(transaction.inputs), len(transaction.outputs)) == (1, 2)
    assert objection_to(draft, expected) is None


@pytest.mark.parametrize("n", range(1, MOST_KEYS + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_scripts_of_any_size_are_pushed_right(n, kind):
    """Up to 15 keys the script outgrows every short push; wally's own parser reads back what we wrote."""
    m = n // 2 + 1
    keys = [SoftwareSigner(bytes([i + 1] * 32)) for i in range(n)]
    custody = Custody(kind, Multisig(m, tuple(key.public_key for key in keys)), bytes([77] * 32))
    draft, expected = draft_of("p2wsh")
    digests = signature_digests(draft, [expected.token.value_commitment] * 2, custody)
    signatures = [{i: key.sign_block(digest, b"") for i, key in enumerate(keys)} for digest in digests]
    for given, digest in zip(signatures, digests, strict=True):
        assert all(verify_der(keys[i].public_key, digest, der) for i, der in given.items())
    complete = parse_transaction(with_signatures(draft, signatures, custody))
    if kind == "p2wsh":
        assert complete.input_witness[0].script[-1] == custody.multisig.script
        assert len(complete.input_witness[0].script) == m + 2
    else:
        assert complete.inputs[0].script_sig == script_sig(custody, signatures[0])
        assert parse_multisig(complete.inputs[0].script_sig[-len(custody.multisig.script) :]) == custody.multisig


def test_the_manual_lists_every_reason():
    manual = (Path(__file__).parents[2] / "docs" / "reissuance.md").read_text()
    for code, meaning in MEANINGS.items():
        assert f"| `{code}` | {meaning} |" in manual
