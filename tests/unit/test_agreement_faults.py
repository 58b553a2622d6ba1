"""What a lying member sends is refused, reported once with its proof, and bounded."""

from __future__ import annotations

import msgspec
import pytest

from fedsm.simulator.wire import seal
from states.accusations import MAX_ACCUSATIONS, Accusations
from states.effects import PATIENCE_RESENDS, Relay, Report, ValidateBlock
from states.messages import Precommit, Prevote, Proposal
from tests.core_bench import (
    HEIGHT,
    PROPOSER,
    Bench,
    X,
    Y,
    Z,
    body,
    precommit,
    prevote,
    proof,
    proposal,
)


def spoiled(round_: int, block_hash: str, with_proof: bool = False) -> Proposal:
    """The header of a block with a body that is not its own."""
    lock_proof = proof("prevote", round_ - 1, block_hash) if with_proof else None
    return Proposal(HEIGHT, round_, block_hash, b"spoiled", lock_proof)


# --- proposals


def test_a_proposal_out_of_turn_is_not_voted_for_and_reported_with_its_envelope() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(3, proposal(0, X))
    (report,) = bench.reports("wrong-proposer")
    assert (report.member, report.round, report.evidence) == (3, 0, (seal(3, proposal(0, X)),))
    bench.judge(X)
    assert bench.agreement == "AwaitProposal"
    bench.timer("propose")
    assert bench.said(Prevote) == [prevote(0, None)]


def test_two_proposals_of_one_round_are_evidence_once_and_the_first_one_counts() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X), proposal(0, Y), proposal(0, Z), proposal(0, X))
    (report,) = bench.reports("equivocation")
    assert (report.member, report.detail) == (PROPOSER, "proposal")
    assert report.evidence == (seal(PROPOSER, proposal(0, X)), seal(PROPOSER, proposal(0, Y)))
    bench.judge(X)
    assert bench.said(Prevote) == [prevote(0, X)]


@pytest.mark.parametrize(
    "lock_proof",
    [
        proof("prevote", 1, X),  # not of an earlier round
        proof("prevote", 0, Y),  # of another block
        proof("precommit", 0, X),  # of another kind of vote
        proof("prevote", 0, X, (1, 2)),  # too few
        proof("prevote", 0, X, (1, 1, 1)),  # too few, thrice
        msgspec.structs.replace(proof("prevote", 0, X), height=HEIGHT - 1),
        msgspec.structs.replace(proof("prevote", 0, X), round=-1),
    ],
    ids=["round", "block", "kind", "few", "doubles", "height", "negative"],
)
def test_a_proposal_with_a_proof_of_something_else_is_refused_and_reported(lock_proof: object) -> None:
    bench = Bench().locked(Y)
    bench.effects.clear()
    bench.hear(2, proposal(1, X, lock_proof))  # type: ignore[arg-type]
    (report,) = [e for e in bench.effects if isinstance(e, Report)]
    assert (report.code, report.member) == ("bad-lock-proof", 2)
    assert not bench.take(ValidateBlock)
    assert bench.agreement == "AwaitProposal"


def test_the_prevotes_of_a_lock_proof_count_and_may_be_evidence() -> None:
    bench = Bench().prevoted(None)
    bench.hear(3, prevote(0, Y))
    bench.hear_all((1, 2, 4), precommit(0, None))
    bench.effects.clear()
    bench.hear(2, proposal(1, X, proof("prevote", 0, X)))
    (report,) = [e for e in bench.effects if isinstance(e, Report)]
    assert (report.code, report.member) == ("equivocation", 3)
    assert bench.round.agreement.ballots.tally("prevote", 0).voters(X) == (1, 2)


# --- votes


@pytest.mark.parametrize("kind", [Prevote, Precommit])
def test_two_votes_of_one_round_are_evidence_once_with_both_envelopes(kind: type[Prevote | Precommit]) -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    for block_hash in (X, Y, None, Z, Y, X):
        bench.hear(3, kind(HEIGHT, 0, block_hash))
    (report,) = bench.reports("equivocation")
    assert (report.member, report.round, report.detail) == (3, 0, kind.__name__.lower())
    assert report.evidence == (seal(3, kind(HEIGHT, 0, X)), seal(3, kind(HEIGHT, 0, Y)))


def test_of_two_votes_the_first_one_counts() -> None:
    bench = Bench().prevoted(X)
    bench.hear(1, prevote(0, Y), prevote(0, X))
    bench.hear(2, prevote(0, X))
    assert bench.agreement == "Prevoted"


def test_equivocation_is_reported_when_the_height_is_decided_too() -> None:
    bench = Bench().decided(X)
    bench.effects.clear()
    bench.hear(3, precommit(0, None), precommit(0, X))
    assert [report.member for report in bench.reports("equivocation")] == [3]


def test_a_vote_for_another_round_or_kind_is_no_equivocation() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.hear(1, prevote(0, X), precommit(0, None), prevote(1, Y), precommit(1, Y), prevote(0, X))
    assert not bench.reports("equivocation")


def test_a_flood_of_faults_is_reported_no_more_than_a_few_times_for_each_kind_and_member() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    for round_ in range(1, 400):
        bench.hear(3, prevote(round_, Y), prevote(round_, Z))
        bench.hear(3, proposal(round_, Y), proposal(round_, Z))
    reports = [effect for effect in bench.take(Report) if effect.member == 3]
    assert 0 < len([r for r in reports if r.code == "equivocation"]) <= MAX_ACCUSATIONS
    assert 0 < len([r for r in reports if r.code == "wrong-proposer"]) <= MAX_ACCUSATIONS
    bench.hear(2, prevote(0, Y), prevote(0, Z))
    assert [r.member for r in bench.reports("equivocation")] == [2]


def test_each_fault_counts_once_and_each_member_for_itself() -> None:
    made = Accusations()
    assert made.is_new("equivocation", 1, "prevote", 0)
    assert not made.is_new("equivocation", 1, "prevote", 0)
    assert made.is_new("equivocation", 1, "precommit", 0)
    assert made.is_new("equivocation", 1, "prevote", 1)
    assert made.is_new("equivocation", 2, "prevote", 0)
    assert made.is_new("wrong-proposer", 1, "", 0)


# --- bodies: the hash covers the header only


def test_a_copy_with_another_body_does_not_replace_the_one_that_was_judged() -> None:
    bench = Bench().locked(X)
    bench.take(Report)
    bench.hear(2, spoiled(1, X, with_proof=True))
    assert bench.round.agreement.ballots.blocks[X] == body(X)
    bench.hear_all((1, 2, 3), precommit(0, X))
    bench.hear_all((1, 3), prevote(1, X))
    bench.hear_all((1, 2, 3), precommit(1, X))
    assert bench.round.agreement.decision is not None
    assert bench.round.agreement.decision.block == body(X)


def test_a_refused_body_of_a_block_that_q_members_voted_for_is_replaced_by_another_copy_and_judged_anew() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, spoiled(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((2, 3, 4), precommit(0, X))
    bench.judge(X, "invalid", timely=False)
    bench.hear(PROPOSER, proposal(0, X))  # as a member with the good copy sends it on
    (question,) = bench.take(ValidateBlock)[-1:]
    assert question.block == body(X)
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"
    assert bench.round.agreement.decision is not None
    assert bench.round.agreement.decision.block == body(X)


def test_a_lock_proof_of_a_round_long_past_vouches_for_a_copy_too() -> None:
    bench = Bench()
    bench.slot()
    bench.hear_all((1, 2, 3), prevote(30, None))
    bench.hear(1, spoiled(30, X))
    bench.judge(X, "invalid")
    bench.take(ValidateBlock)
    bench.hear_all((1, 2, 3), precommit(30, None))
    bench.timer("precommit")
    bench.hear(2, proposal(31, X, proof("prevote", 2, X)))
    (question,) = bench.take(ValidateBlock)
    assert question.block == body(X)
    bench.judge(X, timely=False)
    assert bench.said(Prevote) == [prevote(31, X)]


def test_a_good_copy_replaces_a_refused_body_also_while_our_node_is_to_be_asked_again() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, spoiled(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((2, 3, 4), prevote(0, X))
    bench.judge(X, "invalid", timely=False)
    bench.hear_all((2, 3, 4), precommit(0, None))
    for _ in range(PATIENCE_RESENDS):
        bench.timer("resend")
    bench.take(ValidateBlock)
    bench.hear(2, proposal(1, X, proof("prevote", 0, X)))
    (question,) = bench.take(ValidateBlock)
    assert question.block == body(X)


def test_the_certified_one_of_two_proposals_is_taken_even_if_we_saw_the_other_one_first() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, Y))
    bench.judge(Y)
    bench.hear_all((2, 3, 4), precommit(0, X))
    bench.hear(PROPOSER, proposal(0, X))  # as a member that holds it sends it on
    assert len(bench.reports("equivocation")) == 1
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"


def test_a_refused_block_that_nobody_needs_is_not_judged_again() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, spoiled(0, X))
    bench.judge(X, "invalid")
    bench.take(ValidateBlock)
    bench.hear_all((2, 3), prevote(0, X))
    bench.hear(PROPOSER, proposal(0, X))
    assert not bench.take(ValidateBlock)


def test_spoiled_copies_are_tried_no_more_than_a_few_times() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, spoiled(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((2, 3, 4), precommit(0, X))
    bench.take(ValidateBlock)
    for copy in range(100):
        bench.judge(X, "invalid", timely=False)
        bench.hear(PROPOSER, Proposal(HEIGHT, 0, X, b"spoiled %d" % copy))
    assert len(bench.take(ValidateBlock)) == bench.settings.quorum.members


def test_a_body_that_is_being_judged_is_not_replaced_meanwhile() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.hear_all((2, 3, 4), prevote(0, X))
    bench.hear(PROPOSER, spoiled(0, X))
    bench.judge(X)
    assert bench.round.agreement.lock is not None
    assert bench.round.agreement.lock.block == body(X)


# --- memory


def test_a_flood_of_rounds_proposals_and_blocks_stays_in_bounds() -> None:
    bench = Bench().prevoted(X)
    for round_ in (*range(200), *range(10_000, 10_200)):
        bench.hear(1, prevote(round_, Y), precommit(round_, None))
        if (HEIGHT + round_) % 5 == 1:
            bench.hear(1, proposal(round_, f"{round_:064x}"))
    ballots = bench.round.agreement.ballots
    assert len(ballots.blocks) < 40
    assert len(ballots._tallies) < 60
    assert bench.round.round == 0
    assert len(bench.round.agreement.verdicts._given) <= len(ballots.blocks)


def test_what_a_long_night_of_failed_rounds_leaves_behind_does_not_grow() -> None:
    bench = Bench()
    bench.slot()
    sizes = []
    for round_ in range(200):
        bench.hear(bench.settings.quorum.proposer(HEIGHT, round_), proposal(round_, f"{round_:064x}"))
        bench.judge(f"{round_:064x}")
        bench.timer("propose")
        bench.hear_all((1, 2, 3), precommit(round_, None))
        bench.timer("precommit", round_)  # which early rounds do not wait for
        agreement = bench.round.agreement
        ballots = agreement.ballots
        sizes.append(
            len(ballots.blocks)
            + len(ballots._tallies)
            + len(ballots.proposals)
            + len(agreement.cast)
            + len(agreement.verdicts._given)
        )
    assert bench.round.round == 200
    assert max(sizes[30:]) == max(sizes[150:])
    assert not bench.take(Relay)
