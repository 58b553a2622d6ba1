"""fedsm explain: what happened, told from a trace alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from fedsm.errors import FedsmError
from fedsm.trace import Gap, Header, Item, Place, Transition, read
from fedsm.trace.chronicle import Chronicle, HeightFacts
from fedsm.trace.periods import PeriodFacts, Periods, tell_period
from fedsm.trace.story import Story
from fedsm.trace.words import clock_time
from states.round import Settings


@click.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--height", type=click.IntRange(1), help="Tell of this height only.")
def explain(trace: Path, height: int | None) -> None:
    """Tell each round of TRACE, a trace's file or folder, as the member saw it.

    Who proposed, who voted and signed when (milliseconds after the slot), why a round failed and whose messages
    were missing.
    """
    told = False
    for line in _Teller(height).tell(read(trace)):
        told = True
        click.echo(line)
    if not told:
        raise FedsmError(f"{trace} tells nothing" + ("" if height is None else f" of height {height}"))


class _Teller:
    """Tells of the heights that are asked for; about runs and gaps only when all are."""

    def __init__(self, height: int | None) -> None:
        self._height = height

    def tell(self, items: Iterator[tuple[Place, Item]]) -> Iterator[str]:
        """All lines."""
        story: Story | None = None
        chronicle: Chronicle | None = None
        settings, periods = None, Periods()
        for place, item in items:
            if isinstance(item, Header) and (item.begins == "new" or chronicle is None):
                yield from self._lines(story, chronicle.rest() if chronicle is not None else iter(()))
                yield from self._reissued(settings, periods.rest())
                settings, periods = item.settings, Periods()
                story, chronicle = Story(settings), Chronicle(settings.quorum)
                yield from self._remark(
                    f"{place}: the daemon of member {item.settings.member} "
                    f"{'starts' if item.begins == 'new' else 'runs'} {clock_time(item.at_ms)}, fedsm {item.version}"
                )
            elif isinstance(item, Gap):
                yield from self._remark(f"{place}: {item.lost} events are missing here ({item.reason})")
            elif isinstance(item, Transition) and chronicle is not None:
                yield from self._lines(story, chronicle.take(item))
                yield from self._reissued(settings, periods.take(item))
                if item.failure:
                    yield from self._remark(f"{place}: the daemon ended by a fault of its own: {item.failure}")
        if chronicle is not None:
            yield from self._lines(story, chronicle.rest())
            yield from self._reissued(settings, periods.rest())

    def _lines(self, story: Story | None, heights: Iterator[HeightFacts]) -> Iterator[str]:
        for facts in heights:
            if story is not None and self._height in (None, facts.height):
                yield from story.tell(facts)

    def _reissued(self, settings: Settings | None, periods: Iterator[PeriodFacts]) -> Iterator[str]:
        for facts in periods:
            terms = None if settings is None else settings.reissue
            if terms is not None and self._height in (None, facts.due_height):
                yield from tell_period(facts, terms)

    def _remark(self, text: str) -> Iterator[str]:
        if self._height is None:
            yield text
