"""What is due next and what was reissued so far, for the operator: from the chain, and by the rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from states.amounts import AmountError, Inflation, amount_due

if TYPE_CHECKING:
    from fedsm.reissue.book import AssetBook, Change
    from fedsm.reissue.setup import Schedule
    from states.amounts import Unfrozen

SATOSHI = 10**8


class PlannedAsset(msgspec.Struct, frozen=True):
    """An asset in the next period. Amounts are in satoshi; ``why`` is the rule with its numbers.

    ``missing`` says what stands in the way, and what to do about it.
    """

    asset: str
    supply: int
    amount: int
    why: str
    token: str | None
    fee_coin: str | None
    missing: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """A dry run of the next reissuance, as if it fell due on the present chain."""

    height: int
    due_height: int
    token_address: str
    assets: tuple[PlannedAsset, ...]
    missing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing and not any(planned.missing for planned in self.assets)


class LedgerEntry(msgspec.Struct, frozen=True):
    """A period of an asset. ``period`` is the height at which it fell due; the rest is None when nothing came.

    ``rule`` is what the rule gives on the supply at that height. ``note`` names a difference, or is empty.
    """

    asset: str
    period: int
    height: int | None
    txid: str | None
    amount: int | None
    supply: int
    rule: int
    note: str = ""


def plan_of(schedule: Schedule) -> Plan:
    """The next period. Raises what the strategy raises."""
    strategy, inflation = schedule.strategy, schedule.config.inflation
    strategy.follow()
    height = strategy.height
    due_height = height - height % inflation.period + inflation.period
    planned = tuple(_planned(schedule, height))
    missing = [] if planned else [f"no reissuance token is on the script: send it to {schedule.address}"]
    wanted = (schedule.config.assets or frozenset()) - {entry.asset for entry in planned}
    missing += [f"asset {asset} of [reissuance]: {strategy.whereabouts(asset)}" for asset in sorted(wanted)]
    return Plan(height, due_height, schedule.address, planned, tuple(missing))


def _planned(schedule: Schedule, height: int) -> Iterator[PlannedAsset]:
    strategy, config = schedule.strategy, schedule.config
    for due in strategy.due(height):
        missing = [due.obstacle] if due.obstacle else []
        forbidden = schedule.policy.objection(due.asset, due.amount, schedule.rate, strategy.destination)
        if forbidden:
            missing.append(f"our own limits forbid it, {forbidden}")
        token, fee_coin = strategy.coins(height, due.asset)
        yield PlannedAsset(
            due.asset,
            due.supply,
            due.amount,
            explain(config.inflation, due.supply, due.unfrozen),
            token,
            fee_coin,
            tuple(missing),
        )


def explain(inflation: Inflation, supply: int, unfrozen: tuple[Unfrozen, ...] = ()) -> str:
    """The rule with its numbers, in units of the asset."""
    years = inflation.years
    text = f"{units(supply)} * ((1 + {inflation.rate})^({years.numerator}/{years.denominator} of a year) - 1)"
    return text + (f" and back-pay for {len(unfrozen)} unfrozen outputs" if unfrozen else "")


def ledger_of(book: AssetBook, inflation: Inflation, asset: bytes) -> Iterator[LedgerEntry]:
    """Every period since the asset was issued, as the chain shows it, beside what the rule gives."""
    name = asset[::-1].hex()
    changes = book.changes(asset)
    if not changes:
        return
    reissued = [change for change in changes if change.kind == "reissuance"]
    first = changes[0].height + -changes[0].height % inflation.period
    for due in range(max(first, inflation.period), book.height, inflation.period):
        supply = book.supply(asset, due)
        if supply is None:
            return
        rule = _rule(inflation, due, supply)
        found = [change for change in reissued if due < change.height <= due + inflation.period]
        if not found and rule > 0 and book.height >= due + (inflation.period + 1) // 2:
            yield LedgerEntry(name, due, None, None, None, supply, rule, "nothing was reissued in this period")
        for number, change in enumerate(found):
            after = book.supply(asset, change.height) or 0
            yield _entry(name, due, change, after, rule, "" if number == 0 else "reissued again in one period")


def _entry(name: str, due: int, change: Change, supply: int, rule: int, note: str) -> LedgerEntry:
    if not note and change.amount != rule:
        note = f"the rule gives {units(rule)}"
    return LedgerEntry(name, due, change.height, change.txid[::-1].hex(), change.amount, supply, rule, note)


def _rule(inflation: Inflation, due: int, supply: int) -> int:
    try:
        return amount_due(inflation, due, supply)
    except AmountError:
        return 0


def units(satoshi: int) -> str:
    """Satoshi as units of the asset with 8 decimal places."""
    return f"{satoshi // SATOSHI}.{satoshi % SATOSHI:08d}"

