"""What was lost is sent again, asked for or tried again, so that exactly Q members always get on."""

from __future__ import annotations

from fedsm.simulator.wire import Wire
from states.agreement import MAX_ROUNDS_JOINED, RELAY_EVERY_RESENDS
from states.agreement_view import MIN_PATIENCE_MS
from states.effects import (
    PATIENCE_RESENDS,
    Broadcast,
    Persist,
    Relay,
    RequestBlock,
    SetTimer,
    SignDigest,
    ValidateBlock,
)
from states.memory import Memory
from states.messages import BlockRequest, Precommit, Prevote, Proposal
from tests.core_bench import (
    HEIGHT,
    PROPOSER,
    TIMEOUTS,
    Bench,
    X,
    Y,
    body,
    cast,
    decision,
    heartbeat,
    lock,
    precommit,
    prevote,
    proof,
    proposal,
    settings,
    signature,
)

# --- sending again


def test_our_votes_are_sent_again_as_they_were() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(0, X))
    bench.effects.clear()
    bench.resend()
    assert bench.relayed() == [Wire(0, prevote(0, X), 1), Wire(0, precommit(0, X), 2)]


def test_precommits_of_the_round_before_bring_stragglers_up() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.effects.clear()
    bench.resend()
    assert [wire.message for wire in bench.relayed()] == [precommit(0, None)] * 3


def test_the_votes_of_others_are_passed_on_now_and_then_around_a_dead_link() -> None:
    bench = Bench().prevoted(X)
    bench.hear(3, prevote(0, Y))
    bench.effects.clear()
    bench.resend(RELAY_EVERY_RESENDS - 1)
    assert {wire.sender for wire in bench.relayed()} == {0}
    bench.resend()
    assert {(wire.sender, wire.message) for wire in bench.relayed()} == {(0, prevote(0, X)), (3, prevote(0, Y))}


def test_the_proposer_repeats_its_block_less_and_less_often_until_q_members_have_prevoted() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    bench.built(X)
    bench.effects.clear()
    sent = []
    for resend in range(1, 20):
        bench.resend()
        if any(isinstance(wire.message, Proposal) for wire in bench.relayed()):
            sent.append(resend)
    assert sent == [1, 2, 4, 8, 16]
    bench.hear_all((2, 3, 4), prevote(0, X))
    bench.resend(20)
    assert not any(isinstance(wire.message, Proposal) for wire in bench.relayed())


def test_the_resend_timer_runs_in_every_state() -> None:
    bench = Bench()
    for prepare in (lambda: None, bench.slot, lambda: bench.prevoted(X), bench.decided):
        prepare()
        bench.effects.clear()
        bench.resend()
        assert bench.timers()["resend"] == TIMEOUTS.resend_ms


# --- the node's verdict


def test_a_node_that_was_away_is_asked_again() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    for _ in range(3):
        assert len(bench.take(ValidateBlock)) == 1
        bench.judge(X, "unavailable")
        assert bench.agreement == "Judging"
        assert not bench.take(ValidateBlock)
        bench.resend()
    bench.judge(X)
    assert bench.said(Prevote) == [prevote(0, X)]


def test_a_node_that_was_away_is_asked_again_about_what_others_prevoted() -> None:
    bench = Bench().prevoted(None)
    bench.hear(PROPOSER, proposal(0, X))
    bench.hear_all((1, 2, 3), prevote(0, X))
    bench.judge(X, "unavailable", timely=False)
    bench.take(ValidateBlock)
    bench.resend()
    assert len(bench.take(ValidateBlock)) == 1
    bench.judge(X, timely=False)
    assert bench.said(Precommit) == [precommit(0, X)]


def test_a_node_that_was_away_is_asked_again_about_a_certified_block_before_the_slot_too() -> None:
    bench = Bench()
    bench.hear(PROPOSER, proposal(0, X))
    bench.hear_all((1, 2), precommit(0, X))
    bench.hear(1, signature(1, 0, X))
    bench.judge(X, "unavailable", timely=False)
    bench.take(ValidateBlock)
    bench.resend()
    assert len(bench.take(ValidateBlock)) == 1
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"


def test_a_question_without_an_answer_is_put_again_after_a_while() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.take(ValidateBlock)
    bench.resend(PATIENCE_RESENDS - 1)
    assert not bench.take(ValidateBlock)
    bench.resend()
    assert len(bench.take(ValidateBlock)) == 1


def test_a_node_that_refuses_what_q_members_voted_for_is_asked_again_now_and_then() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2, 3), precommit(0, None))
    bench.hear(2, proposal(1, Y))
    bench.judge(Y, "invalid")
    bench.hear_all((1, 2, 3), precommit(1, Y))
    bench.judge(Y, "invalid", timely=False)
    bench.take(ValidateBlock)
    bench.resend(PATIENCE_RESENDS)
    assert [question.block_hash for question in bench.take(ValidateBlock)] == [Y]
    bench.judge(Y, timely=False)
    assert bench.state == "CollectSigs"


def test_a_node_that_refuses_what_nobody_supports_is_not_asked_again() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, "invalid")
    bench.take(ValidateBlock)
    bench.resend(3 * PATIENCE_RESENDS)
    assert not bench.take(ValidateBlock)


def test_a_verdict_that_nobody_asked_for_counts_for_nothing() -> None:
    bench = Bench()
    bench.judge(X, "valid")
    bench.judge(X, "valid", timely=False)
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    assert len(bench.take(ValidateBlock)) == 1
    assert bench.agreement == "Judging"


def test_a_verdict_on_a_body_that_was_let_go_is_not_used_for_a_decision_without_the_body() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2, 3), prevote(40, None))  # the proposal of round 0 is dropped
    assert X not in bench.round.agreement.ballots.blocks
    bench.hear_all((1, 2, 3), prevote(40, X), precommit(40, X))
    assert bench.round.agreement.decision is None
    bench.resend()
    assert [request.block_hash for request in bench.said(BlockRequest)] == [X]


# --- missing blocks


def test_a_block_that_others_prevoted_is_asked_for_from_one_of_them_after_the_other() -> None:
    bench = Bench()
    bench.slot()
    bench.hear_all((2, 4), prevote(0, X))
    bench.take(Broadcast)
    bench.resend(3)
    assert bench.said(BlockRequest) == [BlockRequest(HEIGHT, 0, X, holder) for holder in (2, 4, 2)]


def test_a_certified_block_without_a_body_is_asked_for_in_later_rounds_and_before_the_slot() -> None:
    early = Bench()
    early.hear(1, signature(1, 0, X))
    early.take(Broadcast)
    early.resend()
    assert [request.holder for request in early.said(BlockRequest)] == [1]

    late = Bench().prevoted(None)
    late.hear_all((1, 2, 3), precommit(0, X))
    late.timer("precommit")
    late.hear_all((1, 2, 3), prevote(60, None))
    late.take(Broadcast)
    late.resend(4)
    assert late.round.round == 60
    assert [request.holder for request in late.said(BlockRequest)] == [1, 2, 3, 1]


def test_a_certified_block_that_our_node_refused_is_asked_for_in_other_copies_and_not_without_end() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.judge(X, "invalid")
    bench.hear_all((2, 3, 4), precommit(0, X))
    bench.judge(X, "invalid", timely=False)
    bench.take(Broadcast)
    bench.resend(PATIENCE_RESENDS - 1)
    assert len(bench.said(BlockRequest)) == bench.settings.quorum.members
    bench.resend(10 * PATIENCE_RESENDS)
    assert len(bench.said(BlockRequest)) <= 11 * bench.settings.quorum.members


def test_only_the_member_that_is_asked_answers_and_only_if_it_can() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.hear(3, BlockRequest(HEIGHT, 0, X, 4), BlockRequest(HEIGHT, 0, Y, 0))
    assert bench.effects == []
    bench.hear(3, BlockRequest(HEIGHT, 0, X, 0))
    assert bench.relayed() == [Wire(PROPOSER, proposal(0, X))]


def test_the_same_member_is_given_a_block_once_in_a_resend_interval() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    for copy in range(50):
        bench.hear(3, BlockRequest(HEIGHT, 0, X, 0), copy=copy)
    bench.hear(4, BlockRequest(HEIGHT, 0, X, 0))
    assert len(bench.take(Relay)) == 2
    bench.resend()
    bench.effects.clear()
    bench.hear(3, BlockRequest(HEIGHT, 0, X, 0))
    assert len(bench.take(Relay)) == 1


def test_after_a_restart_a_locked_or_decided_block_is_handed_over_in_a_copy_with_its_proof() -> None:
    held = cast("precommit", 0, X)
    for memory in (
        Memory(HEIGHT, (held,), lock(0, X)),
        Memory(HEIGHT, (held,), lock(0, X), decision(0, X)),
    ):
        bench = Bench(memory)
        bench.effects.clear()
        bench.hear(3, BlockRequest(HEIGHT, 0, X, 0))
        (copy,) = bench.said(Proposal)
        assert (copy.block_hash, copy.block, copy.lock_proof) == (X, body(X), lock(0, X).proof)
        assert bench.settings.quorum.proposer(HEIGHT, copy.round) != 0


def test_a_copy_is_never_made_for_a_round_in_which_it_would_be_our_proposal() -> None:
    for round_ in range(10):
        bench = Bench(Memory(HEIGHT, (cast("precommit", round_, X),), lock(round_, X)))
        bench.effects.clear()
        bench.hear(3, BlockRequest(HEIGHT, 0, X, 0))
        (copy,) = bench.said(Proposal)
        assert bench.settings.quorum.proposer(HEIGHT, copy.round) != 0
        assert copy.valid_round == round_ < copy.round


def test_a_copy_brings_the_body_and_is_no_proposal_and_no_fault() -> None:
    bench = Bench()
    bench.hear(1, signature(1, 0, X))
    bench.hear(4, proposal(1, X, proof("prevote", 0, X)))
    assert not bench.reports("wrong-proposer")
    assert not bench.round.agreement.ballots.proposals
    bench.judge(X, timely=False)
    assert bench.state == "CollectSigs"
    assert [order.block for order in bench.take(SignDigest)] == [body(X)]


def test_a_copy_of_a_block_without_a_quorum_behind_it_is_not_kept() -> None:
    bench = Bench()
    bench.hear(4, proposal(1, X))
    assert not bench.round.agreement.ballots.blocks


# --- members spread over several rounds


def wait_in_vain(bench: Bench, *heartbeats: tuple[int, int]) -> Bench:
    """As long as a whole round takes and longer; (member, round) by their heartbeats meanwhile."""
    here = bench.round.round
    for _ in range(5 * MIN_PATIENCE_MS // TIMEOUTS.resend_ms):
        for member, round_ in heartbeats:
            bench.hear(member, heartbeat(member, round_=round_))
        bench.resend()
        if bench.round.round != here:
            break
    return bench


def test_with_too_few_left_for_our_round_we_join_those_who_are_up_in_a_later_one() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), heartbeat(1, round_=3))
    bench.resend(5)
    assert bench.round.round == 0
    assert wait_in_vain(bench, (1, 3), (2, 3)).round.round == 3


def test_of_several_later_rounds_the_nearest_is_joined() -> None:
    assert wait_in_vain(Bench().prevoted(X), (1, 5), (2, 3)).round.round == 3


def test_whoever_is_behind_us_is_waited_for() -> None:
    """Or a liar could draw each of us on in turn, and we would never meet."""
    bench = Bench().prevoted(X)
    assert wait_in_vain(bench, (1, 0), (2, 0), (4, 9_999_999)).round.round == 0


def test_whoever_has_gone_down_meanwhile_is_not_waited_for() -> None:
    bench = Bench().prevoted(X)
    bench.hear(3, heartbeat(3))
    bench.hear(4, heartbeat(4))
    wait_in_vain(bench, (1, 3), (2, 3))
    assert wait_in_vain(bench, (1, 3), (2, 3)).round.round == 3


def test_whoever_is_at_another_height_does_not_count() -> None:
    bench = Bench().prevoted(X)
    for height in (HEIGHT - 1, HEIGHT + 1):
        bench.hear(1, heartbeat(1, height=height, round_=7))
    assert wait_in_vain(bench).round.round == 0


def test_a_round_that_only_a_liar_names_is_approached_a_few_rounds_at_a_time() -> None:
    bench = Bench().prevoted(X)
    for jumps in (1, 2, 3):
        assert wait_in_vain(bench, (1, 9_999_999)).round.round == jumps * MAX_ROUNDS_JOINED


def test_alone_we_wait_where_we_are() -> None:
    assert wait_in_vain(Bench().prevoted(X)).round.round == 0


# --- the disk was full


def test_a_vote_that_could_not_be_recorded_does_not_leave_and_is_tried_again() -> None:
    bench = Bench()
    bench.slot()
    bench.persist_fails = True
    bench.timer("propose")
    assert not bench.said(Prevote)
    bench.resend(3)
    assert bench.reports("persist-failed")
    bench.persist_fails = False
    bench.resend()
    persisted = [e.records for e in bench.effects if isinstance(e, Persist)]
    assert persisted == [(cast("prevote", 0, None),)]
    assert bench.said(Prevote) == [prevote(0, None)]


def test_a_precommit_that_could_not_be_recorded_is_tried_again_with_its_lock() -> None:
    bench = Bench().prevoted(X)
    bench.persist_fails = True
    bench.hear_all((1, 2), prevote(0, X))
    bench.persist_fails = False
    bench.effects.clear()
    bench.resend()
    (records,) = [e.records for e in bench.effects if isinstance(e, Persist)]
    assert records[0].block_hash == X
    assert records[1] == cast("precommit", 0, X)
    assert bench.said(Precommit) == [precommit(0, X)]


def test_a_signature_is_asked_for_again_after_the_decision_could_not_be_recorded() -> None:
    bench = Bench().prevoted(X)
    bench.hear_all((1, 2), prevote(0, X))
    bench.persist_fails = True
    bench.hear_all((1, 2), precommit(0, X))
    assert bench.state == "CollectSigs"
    for _ in range(5):
        bench.effects.clear()
        bench.resend()
        assert bench.timers()["resend"] == TIMEOUTS.resend_ms
    bench.persist_fails = False
    bench.resend()
    assert [order.block_hash for order in bench.take(SignDigest)] == [X]


def test_a_timer_that_was_dropped_behind_a_record_is_set_again() -> None:
    bench = Bench()
    bench.slot()
    for voter, block_hash in ((1, X), (2, None), (3, Y)):
        bench.hear(voter, prevote(0, block_hash))
    bench.effects.clear()
    bench.persist_fails = True
    bench.timer("propose")  # our prevote cannot be recorded, and the prevote timer stands behind it
    assert bench.timers() == {"prevote": TIMEOUTS.prevote_ms, "resend": TIMEOUTS.resend_ms}


def test_the_time_for_a_proposal_starts_anew_when_it_may_have_been_dropped() -> None:
    bench = Bench()
    bench.slot()
    bench.effects.clear()
    bench.fail_persist()
    assert bench.timers()["propose"] == TIMEOUTS.propose_ms


def test_a_proposer_whose_request_was_dropped_asks_its_node_again() -> None:
    bench = Bench(machine=settings(member=PROPOSER))
    bench.slot()
    bench.effects.clear()
    bench.fail_persist()
    kinds = {type(effect) for effect in bench.effects}
    assert {RequestBlock, SetTimer} <= kinds


def test_a_question_that_was_dropped_is_put_again() -> None:
    bench = Bench()
    bench.slot()
    bench.hear(PROPOSER, proposal(0, X))
    bench.effects.clear()
    bench.fail_persist()
    assert [question.block_hash for question in bench.take(ValidateBlock)] == [X]
