"""Heights open with the tip and rounds with the slots, whatever clocks, forks and early members do."""

from __future__ import annotations

import pytest

from fedsm.simulator.wire import seal
from states.effects import Report, RequestBlock
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    PersistFailed,
    Received,
    ReissuePlanned,
    TimerFired,
)
from states.memory import Memory
from states.messages import Prevote
from states.round import Round
from tests.core_bench import (
    HEIGHT,
    INTERVAL_MS,
    NOW_MS,
    PROPOSER,
    TIMEOUTS,
    TIP,
    Bench,
    X,
    Y,
    cast,
    decision,
    precommit,
    prevote,
    proposal,
    settings,
    signature,
)

SLOT_MS = NOW_MS // INTERVAL_MS * INTERVAL_MS + INTERVAL_MS
EARLY_MS = 1000


def test_nothing_happens_before_the_first_tip() -> None:
    machine = Round(settings())
    for event in (
        Received(1, prevote(0, X), seal(1, prevote(0, X)), NOW_MS),
        TimerFired("slot", 0, 0, NOW_MS),
        TimerFired("resend", 0, 0, NOW_MS),
        PersistFailed(0, 0, "write-failed"),
        BlockJudged(0, X, True, "valid"),
    ):
        assert machine.step(event) == []
        assert (machine.height, machine.state, machine.agreement.state) == (0, "Idle", "Waiting")


def test_a_tip_opens_the_next_height_and_sets_slot_and_resend_timer() -> None:
    bench = Bench()
    assert (bench.round.height, bench.round.round, bench.round.tip, bench.state) == (HEIGHT, 0, TIP, "Idle")
    assert bench.round.slot_ms == SLOT_MS
    assert bench.timers() == {"slot": SLOT_MS - NOW_MS, "resend": TIMEOUTS.resend_ms}


def test_the_same_tip_again_changes_nothing() -> None:
    bench = Bench().prevoted(X)
    bench.effects.clear()
    bench.tip(HEIGHT - 1)
    assert bench.effects == []
    assert bench.agreement == "Prevoted"


# --- slots


def test_round_0_begins_with_its_slot_and_not_before() -> None:
    bench = Bench()
    bench.hear(PROPOSER, proposal(0, X))
    bench.now_ms = SLOT_MS - EARLY_MS - 1
    bench.timer("slot")
    assert bench.state == "Idle"
    bench.slot()
    assert bench.state == "Propose"


def test_a_proposal_that_comes_a_little_early_begins_the_round() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS - EARLY_MS
    bench.hear(PROPOSER, proposal(0, X))
    assert bench.state == "Propose"


def test_a_proposal_that_comes_much_too_early_waits_for_the_slot() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS - EARLY_MS - 1
    bench.hear(PROPOSER, proposal(0, X))
    assert bench.state == "Idle"
    bench.now_ms += 1
    bench.hear(2, prevote(0, X))  # any message finds it there once it may be
    assert bench.state == "Propose"


def test_an_early_proposal_by_the_wrong_member_begins_nothing() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS - 1
    bench.hear(2, proposal(0, X))
    assert bench.state == "Idle"


def test_a_slot_whose_round_began_early_is_used_up() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS - EARLY_MS
    bench.hear(PROPOSER, proposal(0, X))
    bench.now_ms = SLOT_MS - EARLY_MS + 200
    bench.tip(HEIGHT, X)
    assert bench.round.slot_ms == SLOT_MS + INTERVAL_MS
    assert bench.timers()["slot"] == INTERVAL_MS + EARLY_MS - 200


def test_a_block_well_before_the_slot_leaves_the_slot_open() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS - EARLY_MS - 1
    bench.tip(HEIGHT, X)
    assert bench.round.slot_ms == SLOT_MS


def test_a_chain_behind_its_schedule_has_twice_the_slots() -> None:
    bench = Bench(first_block_time=NOW_MS // 1000 - 3600)
    assert bench.round.slot_ms == NOW_MS // 5000 * 5000 + 5000


@pytest.mark.parametrize("jump_ms", [-86_400_000, -3_000])
def test_a_clock_that_was_set_back_delays_a_round_by_an_interval_at_most(jump_ms: int) -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS + jump_ms
    bench.effects.clear()
    bench.timer("slot")
    assert bench.state == "Idle"
    delay_ms = bench.timers()["slot"]
    assert 0 < delay_ms <= INTERVAL_MS
    bench.now_ms += delay_ms
    bench.timer("slot")
    assert bench.state == "Propose"


def test_a_clock_that_was_set_forward_begins_the_round() -> None:
    bench = Bench()
    bench.now_ms = SLOT_MS + 86_400_000
    bench.timer("slot")
    assert bench.state == "Propose"


def test_slot_timers_of_another_height_or_of_a_round_under_way_do_nothing() -> None:
    bench = Bench()
    bench.step(TimerFired("slot", HEIGHT - 1, 0, SLOT_MS))
    assert bench.state == "Idle"
    bench.prevoted(X)
    bench.effects.clear()
    bench.timer("slot")
    assert bench.effects == []


# --- the tip moves in every state


LATE_ANSWERS = (
    BlockBuilt(HEIGHT, 0, X, b"block"),
    BlockJudged(HEIGHT, X, True, "valid"),
    DigestSigned(HEIGHT, X, b"der"),
    BlockCombined(HEIGHT, X, b"block"),
    BlockSubmitted(HEIGHT, X, "rejected"),
    PersistFailed(HEIGHT, 0, "write-failed"),
    ReissuePlanned(HEIGHT - 1, ()),
)


def to_state(state: str) -> Bench:
    bench = Bench(machine=settings(reissue=5 if state == "Reissue" else 0))
    if state in ("Idle", "Reissue"):
        return bench
    if state == "Propose":
        return bench.prevoted(X)
    bench.decided(X)
    if state != "CollectSigs":
        bench.hear_all((1, 2, 3), signature(1, 0, X))
    if state == "Submit":
        bench.combined(X)
    return bench


@pytest.mark.parametrize("state", ["Idle", "Propose", "CollectSigs", "Combine", "Submit", "Reissue"])
@pytest.mark.parametrize("height", [HEIGHT - 2, HEIGHT - 1, HEIGHT, HEIGHT + 40])
def test_a_new_tip_opens_its_height_in_every_state(state: str, height: int) -> None:
    bench = to_state(state)
    assert bench.state == state
    bench.tip(height, Y)
    assert (bench.round.height, bench.round.round, bench.round.tip) == (height + 1, 0, Y)
    assert (bench.state, bench.agreement) == (
        "Reissue" if state == "Reissue" and height % 5 == 0 else "Idle",
        "Waiting",
    )
    # the slot of a round that was under way is used up
    bench.effects.clear()
    bench.slot()
    assert bench.state == "Propose"


@pytest.mark.parametrize("state", ["Propose", "CollectSigs", "Combine", "Submit"])
def test_answers_that_come_after_the_tip_moved_change_nothing(state: str) -> None:
    bench = to_state(state)
    bench.tip(HEIGHT, Y)
    bench.effects.clear()
    before = (bench.state, bench.agreement)
    for late in LATE_ANSWERS:
        bench.step(late)
    assert bench.effects == []
    assert (bench.state, bench.agreement) == before


def test_a_reorganisation_to_another_tip_of_the_same_height_keeps_what_the_guard_remembers() -> None:
    bench = Bench().prevoted(X)
    bench.tip(HEIGHT - 1, "77" * 32, Memory(HEIGHT, (cast("prevote", 0, X),)))
    assert (bench.state, bench.agreement) == ("Propose", "Prevoted")
    bench.hear(PROPOSER, proposal(0, Y))
    bench.judge(Y)
    assert {vote.block_hash for vote in bench.said(Prevote)} == {X}


def test_a_reorganisation_after_the_decision_stays_with_the_decision() -> None:
    bench = Bench().decided(X)
    bench.tip(HEIGHT - 1, "77" * 32, Memory(HEIGHT, (), None, decision(0, X)))
    assert (bench.state, bench.agreement) == ("CollectSigs", "Decided")


def test_another_block_than_the_decided_one_at_its_height_is_reported_as_a_fork() -> None:
    bench = Bench().decided(X)
    bench.tip(HEIGHT, Y)
    (report,) = bench.reports("fork")
    assert X in report.detail
    assert Y in report.detail


def test_the_decided_block_as_the_new_tip_is_no_fork() -> None:
    bench = Bench().decided(X)
    bench.tip(HEIGHT, X)
    assert not bench.reports("fork")


# --- messages for other heights


def test_messages_for_the_next_height_wait_for_it() -> None:
    bench = Bench()
    for voter in (1, 2, 3):
        bench.hear(voter, prevote(0, X, HEIGHT + 1))
    assert bench.state == "Idle"
    bench.tip(HEIGHT, Y)
    assert (bench.state, bench.round.round) == ("Propose", 0)
    assert len(bench.round.agreement.ballots.tally("prevote", 0)) == 3


def test_messages_for_heights_far_ahead_are_dropped_and_reported_once() -> None:
    bench = Bench()
    bench.effects.clear()
    for height in range(HEIGHT + 3, HEIGHT + 50):
        bench.hear(2, prevote(0, X, height))
    reports = bench.take(Report)
    assert [(report.code, report.member) for report in reports] == [("too-early", 2)]


# --- reports


def test_a_failed_round_names_who_was_not_heard() -> None:
    bench = Bench().prevoted(None)
    bench.hear_all((1, 2, 4), precommit(0, None))
    (report,) = bench.reports("round-failed")
    assert (report.round, report.detail) == (0, "not heard: [0, 3]")


# --- reissuance


def test_the_reissue_state_is_entered_only_with_a_schedule_and_when_it_is_due() -> None:
    assert Bench(machine=settings(reissue=0)).state == "Idle"
    assert Bench(machine=settings(reissue=4)).state == "Idle"
    bench = Bench(machine=settings(reissue=5))
    assert bench.state == "Reissue"
    assert bench.timers()["reissue"] == 300
    assert Bench(machine=settings(reissue=5), height=1).state == "Idle"


def test_reissuance_ends_by_itself_or_by_its_timer_and_the_slot_is_still_to_come() -> None:
    for end in ("finished", "timer"):
        bench = Bench(machine=settings(reissue=5))
        if end == "timer":
            bench.timer("reissue")
        else:
            bench.finish_reissue()
        assert bench.state == "Idle"
        bench.slot()
        assert bench.state == "Propose"


def test_reissuance_never_holds_up_a_slot_or_a_round_or_a_certificate() -> None:
    for begin in ("slot", "others", "certificate"):
        bench = Bench(machine=settings(reissue=5))
        if begin == "slot":
            bench.slot()
        elif begin == "others":
            bench.hear_all((1, 2, 3), prevote(0, X))
        else:
            bench.hear(PROPOSER, proposal(0, X))
            bench.hear(1, signature(1, 0, X))
            bench.judge(X, timely=False)
        assert bench.state == ("CollectSigs" if begin == "certificate" else "Propose")
        bench.finish_reissue()
        bench.timer("reissue")
        assert bench.state == ("CollectSigs" if begin == "certificate" else "Propose")


def test_a_single_member_runs_alone() -> None:
    bench = Bench(machine=settings(1, 1))
    bench.slot()
    assert len(bench.take(RequestBlock)) == 1
    bench.built(X)
    bench.judge(X)
    bench.signed(X)
    bench.combined(X)
    assert bench.state == "Submit"
