"""The demo's reissuances: whose ledger counts, what is wrong with it, and when a leader is killed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from rich.console import Console

from fedsm.clients.base import Payment
from fedsm.clients.traffic import Traffic
from fedsm.demo.inflation_plot import InflationScenario
from fedsm.demo.inflation_verdict import InflationOutcome, TakeOver, judge_inflation, judge_payments
from fedsm.demo.screen import Screen
from fedsm.demo.treasury import NodeLedger, Treasury
from fedsm.demo.verdict import Verdict
from fedsm.reissue.report import LedgerEntry, units
from states.amounts import Inflation, amount_due
from states.quorum import Quorum
from tests.unit.demo_fakes import FakeCast

PERIOD = 8
INFLATION = Inflation("0.05", PERIOD, 1000)
ONE, OTHER = "ab" * 32, "cd" * 32
ISSUED = {ONE: 10**14, OTHER: 25 * 10**12}


def sound(asset: str, periods: int = 3) -> list[LedgerEntry]:
    """What a chain says on which everything went by the rule."""
    entries, supply = [], ISSUED[asset]
    for due in range(PERIOD, PERIOD * (periods + 1), PERIOD):
        amount = amount_due(INFLATION, due, supply)
        supply += amount
        entries.append(LedgerEntry(asset, due, due + 1, f"{due:064x}", amount, supply, amount))
    return entries


def ledger(changed: dict[str, list[LedgerEntry]] | None = None, height: int = 3 * PERIOD + 1) -> NodeLedger:
    return NodeLedger(height, {asset: sound(asset) for asset in ISSUED} | (changed or {}))


def judged(*ledgers: NodeLedger, cast_: FakeCast | None = None) -> InflationOutcome:
    leaders = {(ONE, PERIOD): 3}
    return judge_inflation(ledgers, ISSUED, INFLATION, (cast_ or FakeCast(5)).as_cast, leaders, 5)


def verdict_with(outcome: InflationOutcome) -> Verdict:
    verdict = Verdict(True, 5, 3, 25, [], {"median": 1.0, "p99": 1.0}, 0, 0, [], [], [])
    verdict.take_inflation(outcome)
    return verdict


def test_the_curve_by_the_rule_is_met_to_the_satoshi() -> None:
    outcome = judged(ledger(), ledger(height=40))
    assert outcome.faults == []
    assert verdict_with(outcome).ok
    assert [row.period for row in outcome.reissuances] == [1, 2, 3, 1, 2, 3]
    assert {row.difference for row in outcome.reissuances} == {0}
    first = outcome.reissuances[0]
    assert (first.asset, first.due_height, first.height, first.leader) == (ONE, 8, 9, 3)
    assert first.expected_supply == first.supply == 10**14 + first.amount
    for row in outcome.supply:
        assert row.supply == row.expected_supply > row.issued == ISSUED[row.asset]


def test_the_sender_and_the_time_to_it_come_from_the_log() -> None:
    members = FakeCast(5)
    members.start()
    members.accept(8, slot_ms=1_795_622_223_000, took_ms=50)
    for member, ms in ((4, 400), (2, 320)):
        stamp = f"2026-11-25T15:57:03.{ms}000Z"
        members.say(member, "reissuance_sent", height=8, detail=f"asset {ONE}: {8:064x}", timestamp=stamp)
    first = judged(ledger(), cast_=members).reissuances[0]
    assert (first.sent_by, first.latency_ms) == (2, 270)


def test_a_verdict_with_inflation_is_plain_json_with_its_keys() -> None:
    outcome = judged(ledger())
    outcome.take_over = TakeOver(16, 1)
    printed = json.loads(json.dumps(verdict_with(outcome).as_dict()))
    assert set(printed) >= {"ok", "faults", "reissuances", "supply", "payments", "take_over"}
    assert printed["take_over"] == {"due_height": 16, "killed": 1}
    assert printed["reissuances"][0]["txid"] == f"{8:064x}"
    assert "inflation" not in printed


def missing() -> list[LedgerEntry]:
    first, second, third = sound(ONE)
    nothing = "nothing was reissued in this period"
    gap = LedgerEntry(ONE, second.period, None, None, None, first.supply, second.amount or 0, nothing)
    return [first, gap, msgspec.structs.replace(third, supply=third.supply - (second.amount or 0))]


def doubled() -> list[LedgerEntry]:
    first, second, third = sound(ONE)
    more = second.supply + (second.amount or 0)
    again = msgspec.structs.replace(second, height=18, supply=more, note="reissued again in one period")
    return [first, second, again, msgspec.structs.replace(third, supply=third.supply + (second.amount or 0))]


def wrong() -> list[LedgerEntry]:
    *before, last = sound(ONE)
    return [
        *before,
        msgspec.structs.replace(
            last, amount=(last.amount or 0) + 1, supply=last.supply + 1, note="the rule gives x"
        ),
    ]


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        (missing, "due at height 16: nothing was reissued in this period"),
        (doubled, "due at height 16: reissued again in one period"),
        (wrong, "due at height 24: the rule gives x"),
        (lambda: sound(ONE, 2), "only 2 of 3 periods"),
    ],
    ids=["missing", "doubled", "wrong", "too few"],
)
def test_a_reissuance_that_is_not_by_the_rule_fails_the_demo(
    entries: Callable[[], list[LedgerEntry]], fault: str
) -> None:
    outcome = judged(ledger({ONE: entries()}))
    assert any(fault in found for found in outcome.faults), outcome.faults
    verdict = verdict_with(outcome)
    assert not verdict.ok
    assert verdict.faults == outcome.faults
    if "periods" not in fault:
        assert any(row.difference for row in outcome.reissuances)


def test_an_amount_that_no_note_names_still_differs_from_the_curve() -> None:
    *before, last = sound(ONE)
    outcome = judged(ledger({ONE: [*before, msgspec.structs.replace(last, supply=last.supply + 5)]}))
    assert [row.difference for row in outcome.reissuances if row.asset == ONE] == [0, 0, 5]
    assert any("the curve says" in fault for fault in outcome.faults)


def test_nodes_that_tell_different_stories_fail_the_demo() -> None:
    outcome = judged(ledger(), ledger({OTHER: [*sound(OTHER)[:2], *sound(OTHER)[:1]]}))
    assert outcome.faults == [f"asset {OTHER}: the ledgers of the nodes differ"]


def test_a_period_that_may_still_come_out_in_any_way_does_not_count() -> None:
    behind = ledger({asset: sound(asset, 3) for asset in ISSUED}, height=25)
    ahead = ledger({asset: sound(asset, 4) for asset in ISSUED}, height=34)
    assert judged(behind, ahead).faults == []


# Payments


@dataclass
class FakeTreasury:
    """Payments that were made, and which of them are in no block, by the number of times it is asked."""

    payments: list[Payment] = field(default_factory=list)
    lost: list[list[Payment]] = field(default_factory=list)
    trouble: str = ""

    issued = ISSUED
    config = SimpleNamespace(inflation=INFLATION)

    def __post_init__(self) -> None:
        self.history: list[str] = []

    @property
    def traffic(self) -> Traffic:
        notes = {name: (lambda name=name: self.history.append(name)) for name in ("start", "stop", "join")}
        return cast(Traffic, SimpleNamespace(payments=self.payments, trouble=self.trouble, **notes))

    def unconfirmed(self, _payments: list[Payment]) -> list[Payment]:
        return self.lost.pop(0) if self.lost else []

    @property
    def as_treasury(self) -> Treasury:
        return cast(Treasury, self)


PAID = [Payment(ONE, 5, "aa"), Payment(OTHER, 5, "bb"), Payment(ONE, 5, "cc")]


def test_payments_are_counted_and_a_lost_one_fails_the_demo() -> None:
    outcome = judged(ledger())
    judge_payments(outcome, FakeTreasury(PAID).as_treasury)
    assert (outcome.payments, outcome.faults) == ({"sent": 3, "confirmed": 3}, [])
    judge_payments(outcome, FakeTreasury(PAID, [PAID[1:2]]).as_treasury)
    assert outcome.payments == {"sent": 3, "confirmed": 2}
    assert outcome.faults == ["1 payments are in no block, the first is bb"]


def test_an_asset_that_nobody_paid_with_fails_the_demo() -> None:
    outcome = judged(ledger())
    judge_payments(outcome, FakeTreasury(PAID[:1], trouble="no coins").as_treasury)
    assert outcome.faults == [f"asset {OTHER}: no payment was made, no coins"]


# The plot


@dataclass
class Chain:
    """Time in which blocks and reissuances come; leaders up to ``quick`` send theirs before they can be killed."""

    quorum: Quorum
    quick: int = 0
    deferred: int = 0
    stuck_after: int = 1000
    height: int = 0
    due: int = 0
    led: int = 0

    def __call__(self, cast_: FakeCast) -> bool:
        up = [i for i, daemon in enumerate(cast_.daemons) if daemon.running]
        for member in up:
            if len(cast_.daemons[member].history) > len(cast_.lines(member, "started")):
                cast_.say(member, "started")
        if self.due:
            self._settle(cast_, up)
            return True
        if self.height >= self.stuck_after:
            return False
        self.height += 1
        cast_.accept(self.height)
        if self.height % PERIOD == 0:
            self.due = self.height
            self.led += 1
            leader = self.quorum.proposer(self.height, 0)
            for member in up:
                cast_.say(member, "state", state="Reissue", height=self.height + 1, round=0)
            if self.led <= self.quick + 1 and self.led > 1 and self.quick:
                self._log(cast_, [leader], "reissuance_sent")
        return True

    def _settle(self, cast_: FakeCast, up: list[int]) -> None:
        if self.deferred == self.due:
            self._log(cast_, up, "reissuance_deferred")
        else:
            self._log(cast_, up, "reissuance_sent")
            self._log(cast_, up, "reissuance_confirmed")
        self.due = 0

    def _log(self, cast_: FakeCast, members: list[int], event: str) -> None:
        for member in members:
            for asset in ISSUED:
                cast_.say(member, event, height=self.due, round=0, detail=f"asset {asset}: told")


class QuietScreen:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def lost(self, member: int) -> None:
        """Nothing to be seen."""


def play(
    chain: Chain, *, faults: bool = True, treasury: FakeTreasury | None = None
) -> tuple[InflationScenario, FakeCast, str | None]:
    cast_, told = FakeCast(chain.quorum.members, chain), treasury or FakeTreasury()
    screen = cast(Screen, QuietScreen())
    scenario = InflationScenario(cast_.as_cast, chain.quorum, 12, 1.0, screen, told.as_treasury, faults=faults)
    problem = scenario.run()
    assert told.history == ["start", "stop", "join"], "clients pay from the beginning to the end"
    return scenario, cast_, problem


QUORUM = Quorum(5, 3, 3)


def test_the_leader_of_the_second_period_is_killed_and_comes_back() -> None:
    scenario, cast_, problem = play(Chain(QUORUM))
    assert problem is None
    leader = QUORUM.proposer(2 * PERIOD, 0)
    assert scenario.take_over == TakeOver(2 * PERIOD, leader)
    assert scenario.killed == scenario.restarted == [leader]
    assert cast_.daemons[leader].history == ["start", "kill", "start"]
    confirmed = {line["height"] for line in cast_.lines((leader + 1) % 5, "reissuance_confirmed")}
    assert confirmed == {8, 16, 24}


def test_a_leader_that_was_too_quick_does_not_count_and_another_one_is_killed() -> None:
    scenario, cast_, problem = play(Chain(QUORUM, quick=1))
    assert problem is None
    first, second = QUORUM.proposer(2 * PERIOD, 0), QUORUM.proposer(3 * PERIOD, 0)
    assert scenario.killed == [first, second]
    assert scenario.take_over == TakeOver(3 * PERIOD, second)
    assert len(cast_.lines(1, "reissuance_confirmed")) >= 4


def test_leaders_that_are_always_too_quick_fail_the_demo() -> None:
    scenario, _, problem = play(Chain(QUORUM, quick=9))
    assert problem == "none of 3 leaders could be killed in the middle of a reissuance"
    assert scenario.take_over is None


@pytest.mark.parametrize(("quorum", "faults"), [(QUORUM, False), (Quorum(3, 3, 3), True), (Quorum(1, 1, 1), True)])
def test_no_leader_is_killed_where_nobody_may_be_missing_or_no_faults_are_wanted(
    quorum: Quorum, faults: bool
) -> None:
    chain = Chain(quorum)
    scenario, _, problem = play(chain, faults=faults)
    assert (problem, scenario.killed, scenario.take_over) == (None, [], None)
    assert chain.height >= 3 * PERIOD


def test_a_deferred_reissuance_is_told_with_who_says_so() -> None:
    *_, problem = play(Chain(QUORUM, deferred=8))
    assert problem == f"due at height 8: member 0 deferred asset {ONE}: told"


def test_a_reissuance_that_never_falls_due_is_told() -> None:
    *_, problem = play(Chain(QUORUM, stuck_after=5))
    assert problem is not None
    assert "the reissuances due at height 8 did not confirm within" in problem


def test_the_last_payments_are_waited_for() -> None:
    treasury = FakeTreasury(PAID, [PAID[:1], PAID[:1]])
    chain = Chain(QUORUM)
    *_, problem = play(chain, faults=False, treasury=treasury)
    assert problem is None
    assert treasury.lost == []
    assert chain.height == 3 * PERIOD + 2


# The screen


def test_the_table_shows_each_reissuance_beside_the_curve() -> None:
    text = io.StringIO()
    screen = Screen(5, quiet=False)
    screen._console = Console(file=text, highlight=False, markup=False, width=40)
    for member in (3, 1):
        for event in ("reissuance_sent", "reissuance_confirmed"):
            screen.hear(member, {"event": event, "height": 8, "detail": f"asset {ONE}: it"})
    assert text.getvalue().splitlines() == [
        "  asset abababab, due at height 8: sent by member 3: it",
        "  asset abababab, due at height 8: confirmed, says member 3: it",
    ]
    outcome = judged(ledger({ONE: missing()}))
    outcome.payments, outcome.take_over = {"sent": 9, "confirmed": 8}, TakeOver(16, 1)
    screen.summary(verdict_with(outcome))
    lines = [line.split() for line in text.getvalue().splitlines()]
    amount = amount_due(INFLATION, 8, 10**14)
    supply = units(10**14 + amount)
    assert ["abababab", "1", "8", "9", supply, supply, "0", "3", f"{8:064x}"] in lines
    (gap,) = [line for line in lines if line[:3] == ["abababab", "2", "16"]]
    assert (gap[3], gap[6] != "0", gap[-1]) == ("-", True, "-")
    assert "payments between clients: 9, 8 in blocks" in text.getvalue()
    assert text.getvalue().endswith("FAILED\n")
