"""The reissue machine: every way through its table, and what it says and signs on the way."""

from __future__ import annotations

from typing import TypeVar

import pytest

from states.effects import (
    Broadcast,
    CheckReissuance,
    CombineDraft,
    Effect,
    JudgeDraft,
    MakeDraft,
    Persist,
    PlanReissuance,
    Relay,
    Report,
    SendReissuance,
    SetTimer,
    SignDraft,
)
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftMade,
    DraftSigned,
    Received,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueItem,
    ReissuePlanned,
    TimerFired,
)
from states.memory import DraftLocked
from states.messages import ReissueDraft, ReissueSignature
from states.reissuance import Reissuance, ReissueTerms
from states.reissuances import Reissuances

T = TypeVar("T")

ASSET, OTHER = "a5" * 32, "b6" * 32
DUE, PERIOD = 20, 10
GOOD, BAD = "1d" * 32, "2e" * 32
OUTPOINT = f"{'70' * 32}:0"
TERMS = ReissueTerms(member=0, members=5, threshold=3, period=PERIOD, turn_ms=500)


def locked(draft_id: str = GOOD, asset: str = ASSET) -> DraftLocked:
    return DraftLocked(asset, DUE, draft_id, OUTPOINT, body(draft_id))


def body(draft_id: str) -> bytes:
    return b"draft " + draft_id.encode()


def signatures(member: int) -> tuple[bytes, ...]:
    return (b"%d-first" % member, b"%d-second" % member)


class Bench:
    """One member's reissuances. Its node, guard and peers answer when the test says so; broadcasts come back."""

    def __init__(self, leader: int = 0, items: tuple[ReissueItem, ...] | None = (ReissueItem(ASSET, 700),)) -> None:
        self.all = Reissuances(TERMS)
        self.effects: list[Effect] = []
        self.judging = leader
        self.tip(DUE, leader=leader)
        if items is not None:
            self.plan(items)

    @property
    def machine(self) -> Reissuance:
        return self.all.machines[ASSET]

    @property
    def state(self) -> str:
        return self.machine.state

    def collect(self) -> None:
        for effect in self.all.take_effects():
            self.effects.append(effect)
            if isinstance(effect, Broadcast):
                self.say(0, effect.message)  # type: ignore[arg-type]

    def tip(self, height: int, block_hash: str = "", leader: int = 0) -> None:
        self.all.note_tip(height, block_hash or f"{height:064x}", leader)
        self.collect()

    def feed(self, event: object) -> None:
        self.all.feed(event)  # type: ignore[arg-type]
        self.collect()

    def plan(self, items: tuple[ReissueItem, ...] | None, reason: str = "") -> None:
        self.feed(ReissuePlanned(DUE, items, reason))

    def turn(self) -> None:
        self.feed(TimerFired("turn", DUE, 0, 0))

    def say(self, sender: int, message: ReissueDraft | ReissueSignature, copy: int = 0) -> None:
        self.feed(Received(sender, message, f"{sender} {message} {copy}".encode(), 0))

    def draft(self, sender: int, draft_id: str = GOOD) -> None:
        self.say(sender, ReissueDraft(DUE, 0, ASSET, draft_id, body(draft_id)))

    def signature(self, sender: int, draft_id: str = GOOD) -> None:
        self.say(sender, ReissueSignature(DUE, 0, ASSET, draft_id, body(draft_id), signatures(sender)))

    def judge(self, draft_id: str = GOOD, verdict: str = "valid", reason: str = "") -> None:
        """The answer to the last order to judge."""
        outpoint = OUTPOINT if verdict == "valid" else ""
        orders = [effect for effect in self.effects if isinstance(effect, JudgeDraft)]
        self.judging = orders[-1].sender if orders else self.judging
        self.feed(DraftJudged(DUE, ASSET, draft_id, self.judging, verdict, outpoint, reason))  # type: ignore[arg-type]

    def make(self, draft: DraftLocked | None = locked(), reason: str = "") -> None:  # noqa: B008 - a constant
        self.feed(DraftMade(DUE, ASSET, draft, reason))

    def sign(self, given: tuple[bytes, ...] | None = signatures(0), reason: str = "") -> None:
        self.feed(DraftSigned(DUE, ASSET, GOOD, given, reason))

    def combine(
        self, transaction: bytes | None = b"complete", invalid: tuple[int, ...] = (), reason: str = ""
    ) -> None:
        self.feed(DraftCombined(DUE, ASSET, GOOD, transaction, invalid, reason))

    def send(self, outcome: str = "accepted", reason: str = "") -> None:
        self.feed(ReissuanceSent(DUE, ASSET, GOOD, outcome, reason))  # type: ignore[arg-type]

    def see(self, status: str, detail: str = "") -> None:
        self.feed(ReissuanceSeen(DUE, ASSET, status, detail))  # type: ignore[arg-type]

    def take(self, kind: type[T]) -> list[T]:
        found = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects.clear()
        return found

    def reports(self) -> list[tuple[str, int | None]]:
        return [(report.code, report.member) for report in self.take(Report)]

    def reach(self, state: str) -> Bench:
        """Lead up to a state, as the leader."""
        steps = {
            "Draft": lambda: None,
            "Collect": self.make,
            "Broadcast": lambda: [self.sign(), self.signature(1), self.signature(3)],
            "Confirm": lambda: [self.combine(), self.send()],
            "Done": lambda: self.see("confirmed"),
        }
        for name, step in steps.items():
            step()
            assert self.state == name
            if name == state:
                break
        self.effects.clear()
        return self


# --- the straight way


def test_the_leader_drafts_signs_collects_and_sends() -> None:
    bench = Bench()
    assert bench.state == "Draft"
    assert bench.take(MakeDraft) == [MakeDraft(DUE, ASSET)]
    bench.make()
    assert bench.state == "Collect"
    order = [type(effect) for effect in bench.effects]
    assert order.index(Broadcast) < order.index(Persist) < order.index(SignDraft)
    assert [e for e in bench.effects if isinstance(e, Persist)] == [Persist((locked(),))]
    assert bench.take(SignDraft) == [SignDraft(DUE, ASSET, GOOD, body(GOOD))]
    bench.sign()
    [said] = bench.take(Broadcast)
    assert said.message == ReissueSignature(DUE, 0, ASSET, GOOD, body(GOOD), signatures(0))
    bench.signature(4)
    assert bench.state == "Collect"
    bench.signature(2)
    assert bench.state == "Broadcast"
    given = tuple((member, signatures(member)) for member in (0, 2, 4))
    assert bench.take(CombineDraft) == [CombineDraft(DUE, ASSET, GOOD, body(GOOD), given)]
    bench.combine()
    assert bench.take(SendReissuance) == [SendReissuance(DUE, ASSET, GOOD, b"complete")]
    bench.send()
    assert bench.state == "Confirm"
    assert bench.all.is_at_rest
    assert bench.reports() == [("reissuance-sent", None)]
    bench.tip(DUE + 1)
    assert bench.take(CheckReissuance) == [CheckReissuance(DUE, ASSET)]
    bench.see("confirmed", "block 21")
    assert bench.state == "Done"
    assert bench.take(Report) == [
        Report("reissuance-confirmed", DUE, 0, None, f"asset {ASSET}: block 21"),
    ]


def test_a_follower_judges_before_it_locks_and_signs() -> None:
    bench = Bench(leader=2)
    assert bench.state == "Due"
    assert not bench.take(MakeDraft)
    bench.draft(2)
    assert bench.state == "Draft"
    assert [e for e in bench.effects if isinstance(e, JudgeDraft)] == [JudgeDraft(DUE, ASSET, GOOD, 2, body(GOOD))]
    bench.judge()
    assert bench.state == "Collect"
    assert bench.take(Persist) == [Persist((locked(),))]


def test_a_signature_brings_the_draft_with_it() -> None:
    bench = Bench(leader=2)
    bench.signature(3)
    assert bench.take(JudgeDraft) == [JudgeDraft(DUE, ASSET, GOOD, 3, body(GOOD))]
    bench.judging = 3
    bench.signature(4)
    bench.signature(1)
    bench.judge()
    assert bench.state == "Broadcast"  # three others have signed: ours is not even needed


def test_each_asset_goes_its_own_way() -> None:
    bench = Bench(leader=2, items=(ReissueItem(ASSET, 700), ReissueItem(OTHER, 5)))
    bench.draft(2)
    bench.judge(verdict="invalid", reason="wrong-amount: 1 instead of 700 satoshi")
    assert bench.state == "Due"
    other = bench.all.machines[OTHER]
    bench.say(2, ReissueDraft(DUE, 0, OTHER, BAD, body(BAD)))
    bench.feed(DraftJudged(DUE, OTHER, BAD, 2, "valid", OUTPOINT))
    assert other.state == "Collect"


# --- leaders


def test_the_next_members_take_over_in_turn() -> None:
    """Member 3 had the block; 4 and then we follow."""
    bench = Bench(leader=3)
    bench.turn()
    assert bench.state == "Due"
    bench.turn()
    assert bench.state == "Draft"
    assert bench.take(MakeDraft) == [MakeDraft(DUE, ASSET)]
    bench.make()
    [said] = bench.take(Broadcast)
    assert said.message == ReissueDraft(DUE, 2, ASSET, GOOD, body(GOOD))


def test_a_leader_whose_node_makes_no_draft_leaves_it_to_the_next() -> None:
    bench = Bench()
    bench.make(None, "the fee coin holds 5 satoshi")
    assert bench.state == "Due"
    assert bench.reports() == [("no-draft-made", 0)]
    bench.draft(1)
    assert bench.state == "Draft"


def test_a_draft_of_another_member_counts_while_ours_is_made() -> None:
    bench = Bench()
    bench.draft(1)
    bench.make()
    assert bench.state == "Collect"
    assert bench.reports() == []


def test_a_node_that_takes_too_long_loses_the_turn_and_its_late_answer_is_dropped() -> None:
    bench = Bench()
    bench.turn()
    assert bench.state == "Due"
    bench.make()
    assert bench.state == "Due"
    assert not bench.take(Broadcast)


# --- drafts that differ


def test_a_bad_draft_is_refused_with_its_reason_and_evidence_and_another_one_taken() -> None:
    bench = Bench(leader=2)
    bench.draft(2, BAD)
    bench.judge(BAD, "invalid", "wrong-destination: nothing is paid to 0014")
    assert bench.state == "Due"
    [report] = bench.take(Report)
    assert (report.code, report.member) == ("draft-refused", 2)
    assert report.detail == f"asset {ASSET}: wrong-destination: nothing is paid to 0014"
    assert len(report.evidence) == 1
    bench.draft(3)
    bench.judge()
    assert bench.state == "Collect"
    assert bench.machine.chosen == locked()


def test_a_bad_draft_with_enough_signatures_is_still_not_ours() -> None:
    bench = Bench(leader=2)
    for member in (1, 2, 3, 4):
        bench.signature(member, BAD)
    bench.judge(BAD, "invalid", "wrong-amount")
    assert bench.state == "Due"
    assert not bench.take(Persist)


def test_what_is_called_by_the_right_drafts_id_does_not_have_the_right_one_refused() -> None:
    bench = Bench(leader=2)
    bench.say(4, ReissueDraft(DUE, 0, ASSET, GOOD, body(BAD)))
    bench.judge(GOOD, "invalid", "wrong-id")
    assert bench.reports() == [("draft-refused", 4)]
    bench.draft(2)
    bench.judge()
    assert bench.machine.chosen == locked()


def test_what_is_called_by_the_right_drafts_id_is_not_signed_in_its_place() -> None:
    """Member 1 comes before 2 in every list, and while the node is still at 2's draft."""
    bench = Bench(leader=2)
    bench.draft(2)
    bench.say(1, ReissueDraft(DUE, 0, ASSET, GOOD, body(BAD)))
    bench.judge()
    assert bench.take(Persist) == [Persist((locked(),))]
    assert [order.draft for order in bench.take(SignDraft)] == []
    assert bench.machine.chosen == locked()


def test_the_verdict_on_a_member_that_is_not_asked_about_any_more_counts_for_no_other() -> None:
    bench = Bench(leader=2)
    bench.say(1, ReissueDraft(DUE, 0, ASSET, GOOD, body(BAD)))
    bench.turn()  # the node took too long
    bench.draft(2)
    bench.feed(DraftJudged(DUE, ASSET, GOOD, 2, "valid", OUTPOINT))
    assert bench.state == "Draft"
    bench.feed(DraftJudged(DUE, ASSET, GOOD, 1, "invalid", "", "wrong-id"))
    bench.judge()
    assert bench.machine.chosen == locked()


def test_a_member_that_puts_forward_two_drafts_is_reported_with_both() -> None:
    bench = Bench(leader=2)
    bench.draft(2)
    bench.judge()
    bench.effects.clear()
    bench.draft(2, BAD)
    [report] = bench.take(Report)
    assert (report.code, report.member, len(report.evidence)) == ("rival-drafts", 2, 2)
    assert bench.machine.chosen == locked()


def test_once_one_draft_is_locked_another_one_is_not_even_judged() -> None:
    bench = Bench(leader=2)
    bench.draft(2)
    bench.judge()
    bench.effects.clear()
    bench.draft(3, BAD)
    assert bench.state == "Collect"
    assert not [e for e in bench.effects if isinstance(e, JudgeDraft | Persist | SignDraft)]
    assert bench.reports() == [("other-draft", 3)]


def test_what_could_not_be_judged_is_judged_again_in_the_next_turn() -> None:
    bench = Bench(leader=1)
    bench.draft(1)
    bench.judge(verdict="unavailable", reason="node at 127.0.0.1:1: no answer")
    assert bench.state == "Due"
    assert bench.reports() == [("draft-not-judged", 1)]
    bench.turn()
    assert bench.take(JudgeDraft) == [JudgeDraft(DUE, ASSET, GOOD, 1, body(GOOD))]


# --- signing


def test_who_may_not_sign_collects_all_the_same() -> None:
    bench = Bench(leader=2, items=(ReissueItem(ASSET, 700, objection="guard-new: made in this period"),))
    assert bench.reports() == [("reissuance-not-signed", 0)]
    bench.draft(2)
    bench.judge()
    assert not [e for e in bench.effects if isinstance(e, Persist | SignDraft)]
    for member in (1, 2, 3):
        bench.signature(member)
    assert bench.state == "Broadcast"


def test_who_may_not_sign_does_not_lead_and_says_why() -> None:
    bench = Bench(leader=0, items=(ReissueItem(ASSET, 700, objection="guard-new"),))
    assert bench.reports() == [("reissuance-not-signed", 0)]
    for _ in range(6):
        bench.turn()
    assert not bench.take(MakeDraft)


def test_a_signer_that_is_away_is_asked_again_behind_the_lock() -> None:
    bench = Bench().reach("Collect")
    bench.sign(None, "unavailable: no token")
    assert bench.reports() == [("draft-signing-failed", 0)]
    bench.turn()
    order = [type(effect) for effect in bench.effects]
    assert order.index(Persist) < order.index(SignDraft)


def test_a_signature_is_given_once_and_then_repeated_as_it_was() -> None:
    bench = Bench().reach("Collect")
    bench.sign()
    [said] = bench.take(Broadcast)
    bench.turn()
    [relay] = bench.take(Relay)
    assert relay.envelopes == (f"0 {said.message} 0".encode(),)
    bench.sign((b"another",))
    assert not bench.take(Broadcast)


def test_invalid_signatures_are_dropped_and_their_members_named() -> None:
    bench = Bench().reach("Broadcast")
    bench.signature(4)
    bench.combine(None, invalid=(3,))
    assert bench.state == "Broadcast"  # one more was there
    [order] = [e for e in bench.effects if isinstance(e, CombineDraft)]
    assert [member for member, _ in order.signatures] == [0, 1, 4]
    [report] = bench.take(Report)
    assert (report.code, report.member, len(report.evidence)) == ("bad-reissue-signature", 3, 1)
    bench.combine(None, invalid=(1,))
    assert bench.state == "Collect"


def test_what_cannot_be_combined_now_is_tried_again_in_the_next_turn() -> None:
    bench = Bench().reach("Broadcast")
    bench.combine(None, reason="node away")
    assert bench.state == "Collect"
    assert bench.reports() == [("draft-not-combined", 0)]
    bench.turn()
    assert bench.state == "Broadcast"
    assert len(bench.take(CombineDraft)) == 1


def test_an_order_to_combine_that_was_lost_is_given_again() -> None:
    bench = Bench().reach("Broadcast")
    bench.turn()
    assert bench.state == "Broadcast"
    assert len(bench.take(CombineDraft)) == 1


# --- sending and confirmation


def test_what_the_node_refuses_is_sent_again_and_said_once() -> None:
    bench = Bench().reach("Broadcast")
    bench.combine()
    bench.send("rejected", "min relay fee not met")
    assert bench.state == "Broadcast"
    bench.turn()
    bench.send("rejected", "min relay fee not met")
    assert bench.reports() == [("reissuance-refused", 0)]
    bench.turn()
    assert bench.take(SendReissuance) == [SendReissuance(DUE, ASSET, GOOD, b"complete")]


def test_a_transaction_that_the_nodes_forgot_is_sent_again() -> None:
    bench = Bench().reach("Confirm")
    bench.tip(DUE + 1)
    bench.see("pending")
    assert bench.state == "Confirm"
    bench.tip(DUE + 2)
    bench.effects.clear()
    bench.see("absent")
    assert bench.state == "Broadcast"
    assert bench.take(SendReissuance) == [SendReissuance(DUE, ASSET, GOOD, b"complete")]


@pytest.mark.parametrize("state", ["Draft", "Collect", "Broadcast", "Confirm"])
def test_what_the_chain_shows_is_believed_in_every_state(state: str) -> None:
    bench = Bench().reach(state)
    bench.see("confirmed")
    assert bench.state == "Done"


def test_a_block_that_is_undone_takes_the_confirmation_with_it_and_nothing_new_is_made() -> None:
    bench = Bench().reach("Done")
    bench.tip(DUE + 1, "ff" * 32)
    bench.see("pending")
    assert bench.state == "Confirm"
    assert ("reissuance-undone", None) in bench.reports()
    bench.see("absent")
    assert bench.take(SendReissuance) == [SendReissuance(DUE, ASSET, GOOD, b"complete")]


@pytest.mark.parametrize("state", ["Draft", "Collect", "Broadcast", "Confirm"])
def test_half_a_period_later_it_is_deferred_with_an_alarm(state: str) -> None:
    bench = Bench().reach(state)
    bench.tip(DUE + PERIOD // 2 - 1)
    bench.see("absent")
    assert bench.state != "Deferred"
    bench.tip(DUE + PERIOD // 2)
    bench.see("absent")
    assert bench.state == "Deferred"
    assert ("reissuance-deferred", None) in bench.reports()
    bench.turn()
    assert not bench.effects


def test_what_was_deferred_may_still_confirm() -> None:
    bench = Bench().reach("Confirm")
    bench.tip(DUE + 6)
    bench.see("pending")
    assert bench.state == "Deferred"
    bench.tip(DUE + 7)
    bench.see("confirmed")
    assert bench.state == "Done"


# --- periods


def test_nothing_is_planned_before_the_first_period() -> None:
    reissuances = Reissuances(TERMS)
    reissuances.note_tip(0, "00" * 32, 0)
    reissuances.note_tip(9, "09" * 32, 0)
    assert reissuances.take_effects() == []
    assert reissuances.due_height == 0


def test_a_member_that_comes_late_takes_up_the_period() -> None:
    bench = Bench(items=None)
    bench.effects.clear()
    bench.all = Reissuances(TERMS)
    bench.tip(DUE + 3)
    assert bench.take(PlanReissuance) == [PlanReissuance(DUE)]


def test_after_a_restart_the_locked_draft_is_signed_and_no_other() -> None:
    bench = Bench(leader=0, items=(ReissueItem(ASSET, 700, locked=locked()),))
    assert bench.state == "Collect"
    assert [e for e in bench.effects if isinstance(e, Persist)] == [Persist((locked(),))]
    assert bench.take(SignDraft) == [SignDraft(DUE, ASSET, GOOD, body(GOOD))]
    bench.draft(1, BAD)
    assert not [e for e in bench.effects if isinstance(e, JudgeDraft | SignDraft)]


def test_what_the_chain_shows_already_is_not_drafted() -> None:
    bench = Bench(items=(ReissueItem(ASSET, 700, confirmed=True, locked=locked()),))
    assert bench.state == "Done"
    assert not bench.take(MakeDraft)
    assert bench.all.is_at_rest


def test_an_amount_that_rounds_to_nothing_skips_that_asset_alone() -> None:
    bench = Bench(items=(ReissueItem(OTHER, 0), ReissueItem(ASSET, 700)))
    assert bench.state == "Draft"
    assert OTHER not in bench.all.machines
    assert ("reissuance-skipped", None) in bench.reports()


def test_a_node_that_cannot_tell_what_is_due_is_asked_again_until_it_is_too_late() -> None:
    bench = Bench(items=None)
    bench.effects.clear()
    bench.plan(None, "no index")
    bench.plan(None, "no index")
    assert bench.reports() == [("reissuance-not-planned", None)]
    bench.turn()
    bench.tip(DUE + 1)
    assert bench.take(PlanReissuance) == [PlanReissuance(DUE)] * 2
    bench.tip(DUE + 5)
    assert bench.reports() == [("reissuance-deferred", None)]
    bench.turn()
    assert not bench.effects


def test_messages_before_the_plan_are_kept_and_those_of_other_periods_dropped() -> None:
    bench = Bench(leader=2, items=None)
    bench.draft(2)
    bench.say(2, ReissueDraft(DUE - PERIOD, 0, ASSET, BAD, body(BAD)))
    bench.say(2, ReissueDraft(DUE + PERIOD, 0, ASSET, BAD, body(BAD)))
    bench.plan((ReissueItem(ASSET, 700),))
    assert bench.take(JudgeDraft) == [JudgeDraft(DUE, ASSET, GOOD, 2, body(GOOD))]


def test_a_message_of_the_next_period_comes_a_block_early() -> None:
    bench = Bench(items=())
    early = ReissueDraft(DUE + PERIOD, 0, ASSET, GOOD, body(GOOD))
    bench.tip(DUE + PERIOD - 1)
    bench.say(2, early)
    bench.tip(DUE + PERIOD, leader=2)
    bench.feed(ReissuePlanned(DUE + PERIOD, (ReissueItem(ASSET, 700),)))
    assert bench.take(JudgeDraft) == [JudgeDraft(DUE + PERIOD, ASSET, GOOD, 2, body(GOOD))]


def test_the_next_period_begins_anew_whatever_became_of_the_last() -> None:
    bench = Bench().reach("Confirm")
    bench.tip(DUE + PERIOD, leader=3)
    assert bench.take(PlanReissuance) == [PlanReissuance(DUE + PERIOD)]
    bench.feed(ReissuePlanned(DUE + PERIOD, (ReissueItem(ASSET, 800),)))
    assert bench.state == "Due"
    assert bench.machine.chosen is None
    assert bench.reports() == [("reissuance-deferred", None)]
    bench.see("confirmed")  # of the last period
    assert bench.state == "Due"


def test_a_replaced_block_at_the_due_height_is_planned_anew_but_a_locked_draft_stays() -> None:
    bench = Bench(leader=2)
    bench.effects.clear()
    bench.tip(DUE, "ee" * 32)
    assert bench.take(PlanReissuance) == [PlanReissuance(DUE)]
    bench.plan((ReissueItem(ASSET, 701),))
    assert bench.machine.item.amount == 701
    bench.draft(2)
    bench.judge()
    bench.tip(DUE, "dd" * 32)
    bench.plan((ReissueItem(ASSET, 702),))
    assert bench.machine.chosen == locked()
    assert bench.state == "Collect"


def test_the_timer_runs_only_while_something_is_waited_for() -> None:
    bench = Bench()
    assert bench.take(SetTimer) == [SetTimer("turn", DUE, 0, 500)]
    bench.reach("Done")
    bench.turn()
    assert not bench.take(SetTimer)
    bench.see("pending")
    assert bench.take(SetTimer) == [SetTimer("turn", DUE, 0, 500)]


def test_garbage_from_peers_is_bounded() -> None:
    bench = Bench(leader=2)
    for number in range(300):
        bench.draft(3, f"{number:064x}")
        bench.say(3, ReissueDraft(DUE, 0, OTHER, f"{number:064x}", b"x"))
    assert len(bench.machine._candidates) == 1
    assert set(bench.all.machines) == {ASSET}
    assert len(bench.reports()) == 1
    waiting = Bench(items=None)
    for number in range(300):
        waiting.draft(3, f"{number:064x}")
    assert len(waiting.all._early[3]) == 128
