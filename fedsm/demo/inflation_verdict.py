"""What a demo's reissuances are worth: every node's ledger, beside the curve that the rule gives."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from states.amounts import amount_due

if TYPE_CHECKING:
    from fedsm.demo.cast import Cast
    from fedsm.demo.treasury import NodeLedger, Treasury
    from fedsm.reissue.report import LedgerEntry
    from states.amounts import Inflation

PERIODS = 3
Place = tuple[str, int]  # asset and due height


class TakeOver(NamedTuple):
    """A leader that was killed after reissuances fell due and before it had sent them all."""

    due_height: int
    killed: int


@dataclass(frozen=True)
class ReissuanceRow:
    """A reissuance that was due. Amounts are in satoshi; ``height`` and ``txid`` are None when it did not come.

    ``period`` counts from 1, ``expected_supply`` is the curve that follows from what was issued and the rule alone,
    ``difference`` what the chain has more. ``leader`` put the draft forward, ``sent_by`` was the first to give the
    transaction to its node, ``latency_ms`` after the first member had the block that made it due.
    """

    asset: str
    period: int
    due_height: int
    height: int | None
    amount: int
    expected_supply: int
    supply: int
    difference: int
    leader: int | None
    sent_by: int | None
    latency_ms: int | None
    txid: str | None


@dataclass(frozen=True)
class SupplyRow:
    """An asset at the end, in satoshi."""

    asset: str
    issued: int
    supply: int
    expected_supply: int


@dataclass
class InflationOutcome:
    """The part of a demo's outcome that is about reissuance."""

    reissuances: list[ReissuanceRow]
    supply: list[SupplyRow]
    payments: dict[str, int]
    take_over: TakeOver | None = None
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values, without the faults."""
        values = asdict(self)
        del values["faults"]
        return values | {"take_over": None if self.take_over is None else self.take_over._asdict()}


def judge_inflation(
    ledgers: Sequence[NodeLedger],
    issued: Mapping[str, int],
    inflation: Inflation,
    cast: Cast,
    leaders: Mapping[Place, int],
    members: int,
) -> InflationOutcome:
    """Hold the ledgers of all nodes against each other and against the rule."""
    outcome = InflationOutcome([], [], {})
    height = min(ledger.height for ledger in ledgers)
    senders = first_senders(cast, members)
    for asset, amount in issued.items():
        views = [_settled(ledger.entries[asset], height, inflation) for ledger in ledgers]
        if any(view != views[0] for view in views):
            outcome.faults.append(f"asset {asset}: the ledgers of the nodes differ")
        expected, supply = amount, amount
        expected_after: dict[int, int] = {}
        for entry in views[0]:
            if entry.period not in expected_after:
                expected = expected + amount_due(inflation, entry.period, expected)
                expected_after[entry.period] = expected
            supply = entry.supply
            outcome.reissuances.append(_row(entry, inflation, expected, leaders, senders))
            if entry.note:
                outcome.faults.append(f"asset {asset}, due at height {entry.period}: {entry.note}")
        outcome.supply.append(SupplyRow(asset, amount, supply, expected))
        if supply != expected:
            outcome.faults.append(f"asset {asset}: the supply is {supply} satoshi, the curve says {expected}")
        if len(expected_after) < PERIODS:
            outcome.faults.append(f"asset {asset}: only {len(expected_after)} of {PERIODS} periods")
    return outcome


def judge_payments(outcome: InflationOutcome, treasury: Treasury) -> None:
    """Every payment must be in a block, and there must be some of each asset."""
    payments = list(treasury.traffic.payments)
    lost = treasury.unconfirmed(payments)
    outcome.payments = {"sent": len(payments), "confirmed": len(payments) - len(lost)}
    if lost:
        outcome.faults.append(f"{len(lost)} payments are in no block, the first is {lost[0].txid}")
    paid = Counter(payment.asset for payment in payments)
    outcome.faults += [
        f"asset {asset}: no payment was made, {treasury.traffic.trouble or 'nobody says why'}"
        for asset in treasury.issued
        if not paid[asset]
    ]


def _settled(entries: Sequence[LedgerEntry], height: int, inflation: Inflation) -> list[LedgerEntry]:
    """What a chain of this height says; a later period may still come out in any way."""
    return [
        entry
        for entry in entries
        if (entry.period + (inflation.period + 1) // 2 if entry.height is None else entry.height) <= height
    ]


def _row(
    entry: LedgerEntry,
    inflation: Inflation,
    expected: int,
    leaders: Mapping[Place, int],
    senders: Mapping[Place, tuple[int, int]],
) -> ReissuanceRow:
    place = entry.asset, entry.period
    sent_by, latency_ms = senders.get(place, (None, None))
    return ReissuanceRow(
        asset=entry.asset,
        period=entry.period // inflation.period,
        due_height=entry.period,
        height=entry.height,
        amount=entry.amount or 0,
        expected_supply=expected,
        supply=entry.supply,
        difference=entry.supply - expected,
        leader=leaders.get(place),
        sent_by=sent_by,
        latency_ms=latency_ms,
        txid=entry.txid,
    )


def first_senders(cast: Cast, members: int) -> dict[Place, tuple[int, int]]:
    """Who gave the transaction to its node first, and how long after the first member had the block."""
    due: dict[int, int] = {}
    for member in range(members):
        for line in cast.lines(member, "block_accepted"):
            due[line["height"]] = min(due.get(line["height"], line["accepted_ms"]), line["accepted_ms"])
    first: dict[Place, tuple[int, int]] = {}  # time and member
    for member in range(members):
        for line in cast.lines(member, "reissuance_sent"):
            place, at_ms = (asset_of(line["detail"]), line["height"]), _wall_ms(line["timestamp"])
            first[place] = min(first.get(place, (at_ms, member)), (at_ms, member))
    return {place: (member, at_ms - due.get(place[1], at_ms)) for place, (at_ms, member) in first.items()}


def _wall_ms(timestamp: str) -> int:
    return int(datetime.datetime.fromisoformat(timestamp).timestamp() * 1000)


def asset_of(detail: str) -> str:
    """The asset that a line of a reissue machine is about."""
    return detail.removeprefix("asset ").partition(":")[0]
