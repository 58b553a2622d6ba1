"""Who led each reissuance, as the members' traces tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fedsm.trace.chain import TraceError
from fedsm.trace.periods import PeriodFacts, Periods
from fedsm.trace.reader import read
from fedsm.trace.sheet import Transition


def leaders_in(directory: Path) -> dict[tuple[str, int], int]:
    """The member that was the first to put a draft forward, by asset and due height."""
    first: dict[tuple[str, int], tuple[int, int]] = {}
    for folder in directory.glob("member-*/*/*/trace"):
        for facts in _facts_in(folder):
            place = facts.item.asset, facts.due_height
            for member, (_, at_ms) in facts.drafts.items():
                first[place] = min(first.get(place, (at_ms, member)), (at_ms, member))
    return {place: member for place, (_, member) in first.items()}


def _facts_in(folder: Path) -> Iterator[PeriodFacts]:
    periods = Periods()
    with suppress(TraceError):  # of a daemon that was killed while it wrote
        for _, item in read(folder):
            if isinstance(item, Transition):
                yield from periods.take(item)
    yield from periods.rest()
