"""All assets that are reissued on a schedule: which period it is, and a machine for each asset due in it."""

from __future__ import annotations

from typing import Any

from states.effects import Effect, PlanReissuance, Report, SetTimer
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftMade,
    DraftSigned,
    Received,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueEvent,
    ReissuePlanned,
    TimerFired,
)
from states.messages import ReissueDraft, ReissueSignature
from states.reissuance import Reissuance, ReissueTerms
from states.table import REISSUANCE

_TRIGGERS: dict[type, str] = {
    DraftMade: "made",
    DraftJudged: "judged",
    DraftSigned: "signed",
    DraftCombined: "combined",
    ReissuanceSent: "sent",
    ReissuanceSeen: "seen",
    ReissueDraft: "draft",
    ReissueSignature: "signature",
}
_AT_WORK = ("Due", "Draft", "Collect", "Broadcast")
MAX_ASSETS = 64
MAX_HEIGHTS_AHEAD = 2  # as much as members' nodes may be apart
# What a member may have sent before our node told us of the period: a draft and a signature for each asset.
MAX_EARLY_PER_MEMBER = 2 * MAX_ASSETS


class Reissuances:
    """Routes events to the machines of the period at hand."""

    def __init__(self, terms: ReissueTerms) -> None:
        self.terms = terms
        self.due_height = 0
        self.machines: dict[str, Reissuance] = {}
        self._leader = 0
        self._tip_height = 0
        self._tip = ""
        self._planned = False
        self._given_up = False
        self._timer_is_set = False
        self._reason = ""
        self._early: dict[int, list[Received]] = {}
        self._effects: list[Effect] = []

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is left to be done but to wait for blocks."""
        return self._planned and not any(machine.state in _AT_WORK for machine in self._current())

    def take_effects(self) -> list[Effect]:
        """The effects since the last call, in order."""
        for machine in self.machines.values():
            self._effects += machine.take_effects()
        effects, self._effects = self._effects, []
        return effects

    def note_tip(self, height: int, block_hash: str, leader: int) -> None:
        """Our node has a new best block, made by the member ``leader`` as far as we know."""
        due_height = height - height % self.terms.period
        replaced = 0 < height == due_height == self._tip_height and block_hash != self._tip
        self._tip_height, self._tip = height, block_hash
        for machine in self.machines.values():
            machine.tip_height = height
        if due_height > self.due_height:
            self.due_height, self._leader = due_height, leader
            self._planned, self._given_up, self._reason = False, False, ""
            self._plan()
        elif replaced or self._must_plan():
            self._plan()
        for machine in self._current():
            machine.feed("tip")
        self._keep_time()

    def feed(self, event: ReissueEvent | Received | TimerFired) -> None:
        """Take an event of ours; those of another period are dropped, or kept until it begins."""
        if isinstance(event, Received):
            self._take_message(event)
        elif isinstance(event, TimerFired):
            self._take_turn()
        elif event.due_height == self.due_height:
            if isinstance(event, ReissuePlanned):
                self._take_plan(event)
            else:
                self._feed(event.asset, _TRIGGERS[type(event)], event)
        self._keep_time()

    # --- periods

    def _current(self) -> list[Reissuance]:
        """The machines of the assets that are due in the period at hand."""
        return [machine for machine in self.machines.values() if machine.due_height == self.due_height]

    def _must_plan(self) -> bool:
        """Whether what is due is still to be worked out; when the time for that is over, an alarm is given."""
        if self.due_height == 0 or self._planned or self._given_up:
            return False
        if 2 * (self._tip_height - self.due_height) >= self.terms.period:
            self._given_up = True
            self._report("reissuance-deferred", f"nothing was planned: {self._reason or 'our node did not answer'}")
        return not self._given_up

    def _plan(self) -> None:
        self._effects.append(PlanReissuance(self.due_height))

    def _take_plan(self, plan: ReissuePlanned) -> None:
        if plan.items is None:
            self._complain(plan.reason)
            return
        first, self._planned = not self._planned, True
        for item in plan.items[:MAX_ASSETS]:
            if item.amount == 0 and not item.confirmed:
                self._report("reissuance-skipped", f"asset {item.asset}: the amount rounds to nothing")
            elif first or self.machines.get(item.asset) is None:
                self._open_machine(item.asset).open(self.due_height, self._leader, item)
            else:
                self.machines[item.asset].replan(item)
        for messages in self._early.values():
            for received in [m for m in messages if m.message.height == self.due_height]:
                self._take_message(received)
        self._early = {}

    def _open_machine(self, asset: str) -> Reissuance:
        machine = self.machines.get(asset)
        if machine is None:
            machine = self.machines[asset] = Reissuance(self.terms, asset)
        machine.tip_height = self._tip_height
        return machine

    def _complain(self, reason: str) -> None:
        """Say why nothing can be planned, once for each reason."""
        if reason != self._reason:
            self._reason = reason
            self._report("reissuance-not-planned", reason)

    # --- messages and time

    def _take_message(self, event: Received) -> None:
        message = event.message
        if not isinstance(message, ReissueDraft | ReissueSignature):
            return
        if not self.due_height <= message.height <= self._tip_height + MAX_HEIGHTS_AHEAD:
            return
        if message.height == self.due_height and self._planned:
            self._feed(message.asset, _TRIGGERS[type(message)], event)
            return
        kept = self._early.setdefault(event.sender, [])
        if all(event.envelope != early.envelope for early in kept):
            kept.append(event)
            del kept[:-MAX_EARLY_PER_MEMBER]

    def _take_turn(self) -> None:
        self._timer_is_set = False
        if self._must_plan():
            self._plan()
        for machine in self._current():
            machine.feed("turn_timer")

    def _feed(self, asset: str, trigger: str, event: Any = None) -> None:
        machine = self.machines.get(asset)
        if machine is not None and machine.due_height == self.due_height:
            machine.feed(trigger, event)

    def _keep_time(self) -> None:
        """The timer runs as long as anything is waited for.

        It is the first effect, for those behind a record that cannot be written are dropped.
        """
        waits = any(machine.state in REISSUANCE.timeouts for machine in self._current())
        unplanned = self.due_height > 0 and not self._planned and not self._given_up
        if (waits or unplanned) and not self._timer_is_set:
            self._timer_is_set = True
            self._effects.insert(0, SetTimer("turn", self.due_height, 0, self.terms.turn_ms))

    def _report(self, code: str, detail: str) -> None:
        self._effects.append(Report(code, self.due_height, 0, None, detail))
