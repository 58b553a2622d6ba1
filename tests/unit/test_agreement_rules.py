"""Tendermint's rules, one by one: what is voted for, when a lock holds and moves, when rounds end, what decides."""

from __future__ import annotations

import pytest

from states.agreement import Timeouts
from states.effects import Broadcast, Persist, RequestBlock, SignDigest, ValidateBlock
from states.memory import VoteCast
from states.messages import Precommit, Prevote, Proposal
from tests.core_bench import (
    HEIGHT,
    PROPOSER,
    TIMEOUTS,
    TIP,
    Bench,
    X,
    Y,
    Z,
    body,
    cast,
    lock,
    precommit,
    prevote,
    proof,
    proposal,
    settings,
)

# --- proposing


def test_the_rightful_proposer_has_its_node_build_on_the_tip_and_proposes_what_comes() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    assert bench.take(RequestBlock) == [RequestBlock(HEIGHT, 0, TIP)]
    bench.built(X)
    kinds = [type(effect) for effect in bench.effects]
    assert kinds.index(Persist) < kinds.index(Broadcast)
    assert bench.effects[0] == Persist((VoteCast("proposal", HEIGHT, 0, X),))
    assert bench.said(Proposal) == [Proposal(HEIGHT, 0, X, body(X))]


def test_the_proposers_own_block_is_judged_by_its_node_before_it_is_voted_for() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    bench.built(X)
    assert bench.take(ValidateBlock) == [ValidateBlock(HEIGHT, X, body(X), timely=True)]
    bench.judge(X, "invalid")
    assert bench.said(Prevote) == [prevote(0, None)]


def test_nobody_else_proposes() -> None:
    bench = Bench()
    bench.slot()
    bench.built(X)
    assert not bench.take(RequestBlock)
    assert bench.agreement == "AwaitProposal"


def test_a_node_that_builds_no_block_is_reported_and_the_round_goes_on_without() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    bench.built(None)
    assert bench.reports("no-block-built")[0].detail == "why"
    bench.timer("propose")
    assert bench.said(Prevote) == [prevote(0, None)]


def test_a_block_that_is_built_after_the_proposal_time_is_not_proposed() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    bench.timer("propose")
    bench.built(X)
    assert not bench.said(Proposal)


def test_a_member_that_knows_a_valid_block_proposes_it_again_with_its_proof() -> None:
    bench = Bench().locked(X)
    for round_ in (1, 2, 3):
        bench.hear_all((1, 2, 3), precommit(round_, None))
    assert bench.round.round == 4  # our turn
    (again,) = bench.said(Proposal)
    assert (again.round, again.block_hash, again.block, again.valid_round) == (4, X, body(X), 0)
    assert again.lock_proof is not None
    assert set(again.lock_proof.voters) == {0, 1, 2}


# --- prevoting


def test_no_prevote_before_the_own_nodes_verdict() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.hear_all((1, 2, 3, 4), prevote(0, X))
    bench.hear_all((1, 2), precommit(0, X))
    assert bench.agreement == "Judging"
    assert not bench.said(Prevote)
    bench.judge(X)
    assert bench.said(Prevote) == [prevote(0, X)]


@pytest.mark.parametrize(("verdict", "vote"), [("valid", X), ("invalid", None)])
def test_the_prevote_follows_the_verdict(verdict: str, vote: str | None) -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, verdict)  # type: ignore[arg-type]
    assert bench.said(Prevote) == [prevote(0, vote)]
    assert bench.agreement == "Prevoted"


def test_a_vote_is_recorded_before_it_is_sent() -> None:
    bench = Bench().prevoted(X)
    ordered = [effect for effect in bench.effects if isinstance(effect, Persist | Broadcast)]
    assert ordered == [Persist((cast("prevote", 0, X),)), Broadcast(prevote(0, X))]


def test_without_a_proposal_in_time_the_prevote_is_nil() -> None:
    bench = Bench()
    bench.slot()
    assert bench.timers()["propose"] == TIMEOUTS.propose_ms
    bench.timer("propose")
    assert bench.said(Prevote) == [prevote(0, None)]


def test_a_verdict_that_comes_too_late_changes_no_prevote() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.timer("propose")
    bench.judge(X)
    assert bench.said(Prevote) == [prevote(0, None)]


def test_a_proposal_that_came_before_the_round_is_judged_when_it_begins() -> None:
    bench = Bench()
    bench.hear(PROPOSER, proposal(0, X))
    assert not bench.take(ValidateBlock)
    bench.slot()
    assert [question.block_hash for question in bench.take(ValidateBlock)] == [X]


def test_the_clock_counts_for_a_new_block_and_not_for_one_that_q_members_found_timely() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    assert [question.timely for question in bench.take(ValidateBlock)] == [True]
    bench.judge(X, "invalid")
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.hear(2, proposal(1, X, proof("prevote", 0, X)))
    assert [question.timely for question in bench.take(ValidateBlock)] == [False]
    bench.judge(X, timely=False)
    assert bench.said(Prevote) == [prevote(1, X)]


# --- locking


def test_q_prevotes_for_a_valid_block_lock_and_precommit_it_in_one_record() -> None:
    bench = Bench().prevoted(X)
    bench.take(Persist)
    bench.hear(1, prevote(0, X))
    assert bench.agreement == "Prevoted"
    bench.hear(2, prevote(0, X))
    (persist,) = [e for e in bench.effects if isinstance(e, Persist)]
    taken, vote = persist.records
    assert vote == cast("precommit", 0, X)
    assert (taken.block_hash, taken.block, taken.proof.round, taken.proof.voters) == (X, body(X), 0, (0, 1, 2))  # type: ignore[union-attr]
    assert bench.said(Precommit) == [precommit(0, X)]


def test_q_prevotes_for_a_block_that_our_node_refused_are_no_reason_to_precommit_it() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((1, 2, 3, 4), prevote(0, X))
    bench.judge(X, "invalid", timely=False)  # it is asked again, without the clock
    assert bench.agreement == "Prevoted"
    bench.timer("prevote")
    assert bench.said(Precommit) == [precommit(0, None)]
    assert bench.round.agreement.lock is None


def test_the_same_member_prevoting_again_and_again_is_no_quorum() -> None:
    bench = Bench().prevoted(X)
    for copy in range(5):
        bench.hear(1, prevote(0, X), copy=copy)
    assert bench.agreement == "Prevoted"


def test_prevotes_of_another_round_or_block_do_not_help() -> None:
    bench = Bench().prevoted(X)
    bench.hear(1, prevote(0, X))
    bench.hear(2, prevote(1, X))
    bench.hear(3, prevote(0, Y))
    assert bench.agreement == "Prevoted"
    assert not bench.said(Precommit)


def test_a_locked_member_prevotes_nil_for_a_new_block_in_the_next_round() -> None:
    bench = Bench().locked(X)
    bench.take(Persist)
    bench.hear(2, proposal(1, Y))
    bench.judge(Y)
    assert bench.said(Prevote) == [prevote(1, None)]
    assert bench.round.agreement.lock is not None
    assert bench.round.agreement.lock.block_hash == X


def test_a_locked_member_prevotes_its_own_block_again_with_or_without_proof() -> None:
    for with_proof in (None, proof("prevote", 0, X)):
        bench = Bench().locked(X)
        bench.take(Persist)
        bench.hear(2, proposal(1, X, with_proof))
        assert bench.said(Prevote) == [prevote(1, X)]


def to_round(bench: Bench, round_: int) -> Bench:
    """Rounds end because Q others precommit nil."""
    while bench.round.round < round_:
        bench.hear_all((1, 2, 3), precommit(bench.round.round, None))
    bench.effects.clear()
    return bench


def test_only_q_prevotes_in_a_later_round_than_the_lock_make_a_locked_member_prevote_another_block() -> None:
    bench = to_round(Bench().locked(X), 2)
    bench.hear(3, proposal(2, Y, proof("prevote", 1, Y)))
    bench.judge(Y, timely=False)
    assert bench.said(Prevote) == [prevote(2, Y)]


def test_a_proof_from_before_the_lock_does_not_unlock() -> None:
    bench = to_round(Bench(), 0)
    bench.slot()
    to_round(bench, 1)
    bench.hear(2, proposal(1, X))
    bench.judge(X)
    bench.hear_all((1, 2), prevote(1, X))
    to_round(bench, 2)
    bench.hear(3, proposal(2, Y, proof("prevote", 0, Y)))
    bench.judge(Y, timely=False)
    assert bench.said(Prevote) == [prevote(2, None)]


def test_a_proof_of_the_locks_own_round_is_accepted_as_tendermint_has_it() -> None:
    bench = to_round(Bench().locked(X), 2)
    bench.hear(3, proposal(2, Y, proof("prevote", 0, Y, (2, 3, 4))))
    bench.judge(Y, timely=False)
    assert bench.said(Prevote) == [prevote(2, Y)]


def test_the_lock_stays_where_it_is_until_q_members_prevote_another_block() -> None:
    bench = to_round(Bench().locked(X), 2)
    bench.hear(3, proposal(2, Y, proof("prevote", 1, Y)))
    bench.judge(Y, timely=False)
    assert bench.round.agreement.lock == lock(0, X) or bench.round.agreement.lock.block_hash == X  # type: ignore[union-attr]
    bench.hear_all((1, 2), prevote(2, Y))
    taken = bench.round.agreement.lock
    assert taken is not None
    assert (taken.block_hash, taken.proof.round) == (Y, 2)
    assert bench.said(Precommit) == [precommit(2, Y)]


def test_q_prevotes_that_come_after_a_nil_precommit_make_the_block_valid_but_no_lock() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(0, None))
    bench.timer("prevote")
    assert bench.said(Precommit) == [precommit(0, None)]
    bench.hear_all((3, 4), prevote(0, X))
    agreement = bench.round.agreement
    assert agreement.lock is None
    assert agreement.valid is not None
    assert (agreement.valid.round, agreement.valid.block_hash) == (0, X)


# --- nil and time


def test_q_nil_prevotes_give_a_nil_precommit_at_once() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2), prevote(0, None))
    assert bench.said(Precommit) == [precommit(0, None)]


def test_q_prevotes_that_disagree_start_the_prevote_timer_once() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.hear(1, prevote(0, Y))
    assert "prevote" not in bench.timers()
    bench.hear(2, prevote(0, None))
    assert bench.timers()["prevote"] == TIMEOUTS.prevote_ms
    bench.hear(3, prevote(0, Y))
    assert "prevote" not in bench.timers()
    bench.timer("prevote")
    assert bench.said(Precommit) == [precommit(0, None)]


def test_q_nil_precommits_end_the_round_at_once() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2), precommit(0, None))
    assert bench.round.round == 0
    bench.hear(3, precommit(0, None))
    assert bench.round.round == 1
    assert bench.agreement == "AwaitProposal"


def test_q_precommits_that_disagree_end_the_round_when_their_time_is_up() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.hear_all((1, 2), precommit(0, X))
    bench.hear(3, precommit(0, None))
    assert bench.timers()["precommit"] == TIMEOUTS.precommit_ms
    assert bench.round.round == 0
    bench.timer("precommit")
    assert bench.round.round == 1


def test_fewer_than_q_votes_never_end_a_round() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.hear(1, prevote(0, None))
    bench.hear(2, precommit(0, None))
    bench.hear(3, precommit(0, X))
    assert not {"prevote", "precommit"} & bench.timers().keys()
    assert bench.round.round == 0


def test_timers_of_an_earlier_round_do_nothing() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.effects.clear()
    for name in ("propose", "prevote", "precommit"):
        bench.timer(name, 0)
    assert bench.effects == []
    assert (bench.round.round, bench.agreement) == (1, "AwaitProposal")


def test_time_limits_grow_by_half_each_round_up_to_the_cap() -> None:
    assert [TIMEOUTS.grown(1000, round_) for round_ in (0, 1, 2, 5, 6, 7, 1000)] == [
        1000,
        1500,
        2000,
        3500,
        4000,
        4000,
        4000,
    ]
    assert Timeouts(5000, 1, 1, 1, cap_ms=1000).grown(5000, 3) == 5000


# --- rounds


def test_n_minus_q_plus_1_others_in_a_later_round_draw_us_there() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(4, None))
    assert bench.round.round == 0
    bench.hear(3, prevote(3, None))
    assert bench.round.round == 3


def test_members_of_a_round_that_has_not_opened_for_us_draw_us_in_before_our_slot() -> None:
    bench = Bench()
    bench.hear_all((1, 2), prevote(0, X))
    assert bench.state == "Idle"
    bench.hear(3, prevote(2, X))
    assert (bench.state, bench.round.round) == ("Propose", 0)


def test_in_each_new_round_the_next_member_proposes() -> None:
    bench = Bench()
    bench.slot()
    for round_ in (1, 2, 3):
        bench.hear_all((1, 2, 3), precommit(round_ - 1, None))
        assert bench.agreement == "AwaitProposal"
    bench.take(RequestBlock)
    bench.hear_all((1, 2, 3), precommit(3, None))
    assert (bench.round.round, bench.agreement) == (4, "Building")
    assert [request.round for request in bench.take(RequestBlock)] == [4]


# --- deciding


def test_q_precommits_for_a_valid_block_decide_and_the_decision_is_recorded_before_it_is_signed() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(0, X))
    bench.effects.clear()
    bench.hear_all((1, 2), precommit(0, X))
    ordered = [effect for effect in bench.effects if isinstance(effect, Persist | SignDigest)]
    assert [type(effect) for effect in ordered] == [Persist, SignDigest]
    (record,) = ordered[0].records  # type: ignore[union-attr]
    assert record.block_hash == X
    assert record.certificate.voters == (0, 1, 2)  # type: ignore[union-attr]
    assert ordered[1] == SignDigest(HEIGHT, X, body(X))
    assert (bench.state, bench.agreement) == ("CollectSigs", "Decided")


def test_a_certificate_of_any_round_decides_in_any_round() -> None:
    for certified in (0, 1, 5, 6, 9):
        bench = Bench().prevoted(X)
        bench.hear_all((1, 2, 3), prevote(5, None))
        assert bench.round.round == 5
        bench.hear_all((1, 2, 3), precommit(certified, X))
        assert bench.state == "CollectSigs", f"certified in round {certified}"


def test_a_certificate_decides_before_our_round_has_begun() -> None:
    bench = Bench()
    bench.hear(PROPOSER, proposal(0, X))
    bench.hear_all((1, 2), precommit(0, X))
    assert bench.state == "Idle"
    bench.hear(3, precommit(0, X))
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"


def test_a_certificate_for_a_block_that_our_node_has_not_judged_waits_for_the_verdict() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.take(ValidateBlock)
    bench.hear_all((1, 2, 3), precommit(0, X))
    assert [question.timely for question in bench.take(ValidateBlock)] == [False]
    assert not bench.take(SignDigest)
    bench.judge(X, timely=False)
    assert [order.block_hash for order in bench.take(SignDigest)] == [X]


def test_a_decided_block_that_our_own_node_refuses_is_never_signed() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((1, 2, 3, 4), precommit(0, X))
    bench.judge(X, "invalid", timely=False)
    bench.resend(100)
    assert not bench.take(SignDigest)
    assert bench.state == "Propose"


def test_a_decision_is_final_whatever_is_heard_afterwards() -> None:
    bench = Bench().decided(X)
    bench.effects.clear()
    bench.hear_all((1, 2, 3, 4), precommit(1, Y), prevote(1, Y))
    bench.hear(2, proposal(1, Z))
    assert bench.round.agreement.decision is not None
    assert bench.round.agreement.decision.block_hash == X
    assert not bench.said(Prevote)
    assert not bench.take(SignDigest)


def test_nil_precommits_never_decide() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2, 3, 4), precommit(0, None))
    assert bench.round.round == 1
    assert bench.round.agreement.decision is None
