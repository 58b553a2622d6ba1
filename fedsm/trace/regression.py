"""Cuts one height out of a trace and makes a regression scenario of it: a trace of its own that begins with it.

The scenario begins with new machines, so that it does not depend on what this version's machines remember.
Messages that had come early for the height stand after its tip. What the machines do then is recorded anew, and
compared with what the daemon did: it differs only where they would have needed their memory of earlier heights.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fedsm.trace.chain import Place, TraceError
from fedsm.trace.lines import Gap, Header, Standing
from fedsm.trace.reader import Item, read
from fedsm.trace.sheet import Origin, Sheet, Transition
from fedsm.trace.words import in_words
from states.events import Received, TipChanged
from states.round import Round

SUFFIX = ".trace.jsonl"


class Scenario(NamedTuple):
    """The text of a trace. ``deviation`` names the first event of which other effects were recorded, if any."""

    text: bytes
    member: int
    steps: int
    deviation: str | None


def scenario_of(path: Path, height: int) -> Scenario:
    """The scenario of a height: from the tip below it until a tip closes it or the run of the daemon ends.

    TraceError when the trace is damaged or does not have the beginning of the height.
    """
    cut = _Cut(height)
    for place, item in read(path):
        if not cut.take(place, item):
            break
    if cut.header is None or not cut.steps:
        raise TraceError(f"{path} does not have the beginning of height {height}")
    return _record(cut.header, cut.steps, height)


def record_anew(path: Path) -> Scenario:
    """A scenario with what the machines do now on the events that it has. TraceError when it is damaged."""
    items = [item for _, item in read(path)]
    header, steps = items[0], [item for item in items if isinstance(item, Transition)]
    if not isinstance(header, Header) or header.begins != "new" or not steps:
        raise TraceError(f"{path} is no scenario: it does not begin with new machines and an event")
    return _record(header, steps, steps[0].after.height)


def _record(header: Header, steps: list[Transition], height: int) -> Scenario:
    sheet = Sheet()
    origin = Origin(
        header.version, header.chain, header.federation, header.script, header.configuration, header.settings
    )
    sheet.header(origin, 1, steps[0].at_ms, new=True)
    core, deviation = Round(header.settings), None
    for step in steps:
        again = _take(core, step)
        sheet.step(again)
        if deviation is None and step.before.height == height and again.effects != step.effects:
            deviation = in_words(step.event)
        if again.failure:
            break
    sheet.end(steps[-1].at_ms, stopped=True)
    return Scenario(sheet.take(), header.settings.member, len(steps), deviation)


class _Cut:
    """Collects the steps of a height, the early messages after the first, and the header of their run."""

    def __init__(self, height: int) -> None:
        self._height = height
        self._early: list[Transition] = []
        self.header: Header | None = None
        self.steps: list[Transition] = []

    def take(self, place: Place, item: Item) -> bool:
        """Take an item; False once the height or the run is over."""
        if isinstance(item, Header):
            return self._begin(item)
        if isinstance(item, Gap) and self.steps:
            raise TraceError(f"{place}: {item.lost} events of height {self._height} are missing")
        if not isinstance(item, Transition):
            return True
        if self.steps:
            self.steps.append(item)
        elif _opens(item, self._height):
            self.steps = [item, *self._early]
        elif _is_early(item, self._height):
            self._early.append(item)
        return not self.steps or item.after.height == self._height

    def _begin(self, header: Header) -> bool:
        if self.steps:
            return header.begins == "machine"
        if header.begins == "new":
            self._early.clear()
        self.header = header
        return True


def _is_early(step: Transition, height: int) -> bool:
    return isinstance(step.event, Received) and step.event.message.height == height > step.before.height > 0


def _opens(step: Transition, height: int) -> bool:
    return isinstance(step.event, TipChanged) and step.after.height == height != step.before.height


def _take(core: Round, step: Transition) -> Transition:
    before = Standing.of(core)
    try:
        effects, failure = core.step(step.event), ""
    except Exception as error:  # noqa: BLE001 - a trace that ends with a fault makes a scenario of it
        effects, failure = [], f"{type(error).__name__}: {error}"
    return Transition(step.at_ms, before, step.event, Standing.of(core), effects, failure)
