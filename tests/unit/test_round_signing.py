"""From the certificate to the chain: signing, combining, submitting, and what is tried again when it fails."""

from __future__ import annotations

import msgspec
import pytest

from fedsm.simulator.wire import seal
from states.effects import (
    PATIENCE_RESENDS,
    Broadcast,
    CombineBlock,
    Persist,
    Report,
    SignDigest,
    SubmitBlock,
)
from states.events import DigestSigned
from states.messages import BlockSignature
from tests.core_bench import (
    HEIGHT,
    PROPOSER,
    Bench,
    X,
    Y,
    body,
    precommit,
    prevote,
    proof,
    proposal,
    settings,
    signature,
)

# --- signing


def test_the_signature_leaves_with_the_certificate_that_decided() -> None:
    bench = Bench().decided(X)
    bench.signed(X, b"der")
    (message,) = bench.said(BlockSignature)
    assert (message.height, message.round, message.block_hash, message.signature) == (HEIGHT, 0, X, b"der")
    assert message.certificate.voters == (0, 1, 2)
    assert message.certificate.vote == "precommit"


def test_nothing_is_signed_before_the_decision() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(0, X))
    bench.hear(1, precommit(0, X))
    bench.signed(X)
    assert not bench.take(SignDigest)
    assert not bench.said(BlockSignature)


def test_a_signature_for_another_block_is_not_published() -> None:
    bench = Bench().decided(X)
    bench.effects.clear()
    bench.signed(Y)
    bench.step(DigestSigned(HEIGHT - 1, X, b"der"))
    assert bench.effects == []


def test_one_signature_message_informs_a_member_that_heard_no_precommit() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X)
    bench.effects.clear()
    bench.hear(2, signature(2, 0, X))
    assert bench.state == "CollectSigs"
    (persist,) = [e for e in bench.effects if isinstance(e, Persist)]
    assert persist.records[0].certificate == proof("precommit", 0, X)  # type: ignore[union-attr]
    assert [order.block_hash for order in bench.take(SignDigest)] == [X]


def test_a_certificate_of_a_round_long_past_informs_too() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X)
    bench.hear_all((1, 3, 4), prevote(100, None))
    assert bench.round.round == 100
    bench.hear(2, signature(2, 0, X))
    bench.hear(PROPOSER, proposal(95, X))
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"


def replaced(message: BlockSignature, **changes: object) -> BlockSignature:
    return msgspec.structs.replace(message, certificate=msgspec.structs.replace(message.certificate, **changes))


@pytest.mark.parametrize(
    "message",
    [
        replaced(signature(2, 0, X), vote="prevote"),
        replaced(signature(2, 0, X), height=HEIGHT - 1),
        replaced(signature(2, 0, X), block_hash=Y),
        replaced(signature(2, 0, X), voters=(1, 2), envelopes=(b"1", b"2")),
        replaced(signature(2, 0, X), voters=(1, 1, 1)),
    ],
    ids=["kind", "height", "block", "few", "doubles"],
)
def test_a_signature_without_a_certificate_for_its_block_counts_for_nothing(message: BlockSignature) -> None:
    bench = Bench().decided(X)
    bench.effects.clear()
    bench.hear(2, message)
    (report,) = bench.reports("bad-certificate")
    assert (report.member, report.evidence) == (2, (seal(2, message),))
    assert bench.round._signatures.count(X) == 0


def test_two_signatures_for_different_blocks_are_evidence_once() -> None:
    bench = Bench().decided(X)
    bench.effects.clear()
    bench.hear(2, signature(2, 0, X))
    for copy in range(5):
        bench.hear(2, signature(2, 1, Y), copy=copy)
    (report,) = bench.reports("double-signature")
    assert report.member == 2
    assert report.evidence == (seal(2, signature(2, 0, X)), seal(2, signature(2, 1, Y), 0))


def test_a_signature_is_repeated_as_it_was_until_the_height_closes() -> None:
    bench = Bench().decided(X)
    bench.signed(X)
    sent = [e.message for e in bench.take(Broadcast)][-1]
    for _ in range(3):
        bench.resend()
        (wire,) = bench.relayed()
        assert (wire.sender, wire.message) == (0, sent)


def test_a_signer_that_failed_is_asked_again_and_the_certificate_is_passed_on_meanwhile() -> None:
    bench = Bench().decided(X)
    bench.signed(X, None)
    assert bench.reports("signing-failed")[0].member == 0
    bench.resend()
    assert [order.block_hash for order in bench.effects if isinstance(order, SignDigest)] == [X]
    assert {wire.message for wire in bench.relayed()} == {precommit(0, X)}


# --- combining


def test_m_signatures_are_combined_in_member_order_as_soon_as_they_are_there() -> None:
    bench = Bench().decided(X)
    bench.hear(3, signature(3, 0, X))
    bench.hear(1, signature(1, 0, X))
    assert not bench.take(CombineBlock)
    bench.hear(1, signature(1, 0, X), copy=1)
    assert bench.state == "CollectSigs"
    bench.hear(2, signature(2, 0, X))
    chosen = tuple((m, f"{m}:{X}".encode()) for m in (1, 2, 3))
    assert bench.take(CombineBlock) == [CombineBlock(HEIGHT, X, body(X), chosen)]
    assert bench.state == "Combine"


def test_signatures_that_came_before_the_decision_count() -> None:
    bench = Bench()
    bench.hear_all((1,), signature(1, 0, X))
    bench.hear_all((2,), signature(2, 0, X))
    bench.hear_all((3,), signature(3, 0, X))
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, timely=False)
    assert bench.state == "Combine"


def test_signatures_for_another_block_do_not_count() -> None:
    bench = Bench().decided(X)
    for member in (1, 2, 3):
        bench.hear(member, signature(member, 1, Y))
    assert bench.state == "CollectSigs"


def test_our_own_signature_is_published_even_when_others_sufficed() -> None:
    bench = to_submit()
    bench.effects.clear()
    bench.signed(X)
    assert len(bench.said(BlockSignature)) == 1
    assert bench.state == "Submit"


def to_combine() -> Bench:
    bench = Bench().decided(X)
    for member in (1, 2, 3):
        bench.hear(member, signature(member, 0, X))
    assert bench.state == "Combine"
    return bench


def to_submit() -> Bench:
    bench = to_combine()
    bench.combined(X)
    assert bench.state == "Submit"
    return bench


def test_the_complete_block_is_submitted() -> None:
    assert to_submit().take(SubmitBlock) == [SubmitBlock(HEIGHT, X, b"complete")]


def test_a_combination_that_failed_is_reported_and_tried_again_after_a_while_and_not_at_once() -> None:
    bench = to_combine()
    bench.effects.clear()
    bench.combined(X, None)
    assert bench.state == "CollectSigs"
    assert [e.code for e in bench.effects if isinstance(e, Report)] == ["combination-failed"]
    assert not bench.take(CombineBlock)
    bench.hear(4, signature(4, 0, X))
    assert not bench.take(CombineBlock)
    bench.resend()
    assert len(bench.take(CombineBlock)) == 1
    assert bench.state == "Combine"


# --- submitting


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("accepted", "submitted-accepted"),
        ("duplicate", "submitted-duplicate"),
        ("fork", "submitted-fork"),
        ("unavailable", "submission-delayed"),
    ],
)
def test_until_the_tip_moves_a_submission_is_repeated(outcome: str, code: str) -> None:
    bench = to_submit()
    bench.effects.clear()
    bench.submitted(X, outcome)  # type: ignore[arg-type]
    assert [e.code for e in bench.effects if isinstance(e, Report)] == [code]
    assert bench.state == "Submit"
    assert not bench.take(SubmitBlock)
    bench.resend()
    assert bench.take(SubmitBlock) == [SubmitBlock(HEIGHT, X, b"complete")]


def test_a_refused_block_is_combined_again_after_a_while_and_not_at_once() -> None:
    bench = to_submit()
    bench.effects.clear()
    bench.submitted(X, "rejected")
    assert (bench.state, [e.code for e in bench.effects if isinstance(e, Report)]) == (
        "CollectSigs",
        ["submission-refused"],
    )
    assert not bench.take(CombineBlock)
    bench.resend()
    assert len(bench.take(CombineBlock)) == 1


def test_a_node_that_is_slow_is_not_given_the_block_again_and_again() -> None:
    bench = to_submit()
    bench.effects.clear()
    bench.resend(PATIENCE_RESENDS - 1)
    assert not bench.take(SubmitBlock)
    bench.resend()
    assert len(bench.take(SubmitBlock)) == 1


def test_a_combination_without_an_answer_is_asked_for_again_after_a_while() -> None:
    bench = to_combine()
    bench.effects.clear()
    bench.resend(PATIENCE_RESENDS - 1)
    assert not bench.take(CombineBlock)
    bench.resend()
    assert len(bench.take(CombineBlock)) == 1


def test_an_order_that_was_dropped_with_a_record_is_given_again() -> None:
    bench = to_submit()
    bench.effects.clear()
    bench.fail_persist()
    bench.resend()
    assert len(bench.take(SubmitBlock)) == 1


def test_answers_to_an_earlier_attempt_are_ignored() -> None:
    bench = to_submit()
    bench.combined(X, None)
    assert bench.state == "Submit"
    bench.submitted(X, "rejected")
    bench.submitted(X, "rejected")
    assert bench.state == "CollectSigs"


def test_our_signature_is_repeated_in_every_late_state() -> None:
    for bench in (to_combine(), to_submit()):
        bench.signed(X)
        bench.effects.clear()
        bench.resend()
        assert [wire.sender for wire in bench.relayed()] == [0]


def test_with_m_above_a_majority_no_fewer_signatures_do() -> None:
    bench = Bench(machine=settings(5, 4))
    bench.prevoted(X)
    bench.hear_all((1, 2, 3), prevote(0, X), precommit(0, X))
    assert bench.state == "CollectSigs"
    for member in (1, 2, 3):
        certificate = proof("precommit", 0, X, (1, 2, 3, 4))
        message = msgspec.structs.replace(signature(member, 0, X), certificate=certificate)
        bench.hear(member, message)
    assert bench.state == "CollectSigs"
    bench.signed(X)
    assert bench.state == "Combine"
