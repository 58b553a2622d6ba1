"""Makes the lines of one file of a trace, each with the hash of the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from fedsm.trace import memory
from fedsm.trace.bodies import BodyShelf
from fedsm.trace.codec import pack
from fedsm.trace.lines import (
    FORMAT,
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    NO_LINE,
    AnyLine,
    Body,
    End,
    Gap,
    Header,
    Machine,
    Standing,
    Step,
    digest_of,
    tables_digest,
)
from states.effects import Effect
from states.events import Event
from states.round import Settings


@dataclass(frozen=True)
class Origin:
    """Where a trace comes from, as its headers say it (fedsm/trace/lines.py gives the meaning of the digests)."""

    version: str
    chain: str
    federation: str
    script: str
    configuration: str
    settings: Settings


class Transition(NamedTuple):
    """One event as the machines took it, at ``at_ms`` by the member's wall clock, and what came of it.

    ``failure`` is the exception that the machines raised; otherwise it is empty.
    """

    at_ms: int
    before: Standing
    event: Event
    after: Standing
    effects: list[Effect]
    failure: str = ""


class Mark(NamedTuple):
    """A line: its hash, its number, and how many transitions there are up to it."""

    digest: str
    n: int
    steps: int


class Sheet:
    """The lines of a file, in order from its header. ``take`` gives those that were added since it was last called.

    ``mark`` is the latest line. ValueError or TypeError for what no line can say; from then on only ``gap`` and
    ``end`` make sense, and so it is after ``go_back``.
    """

    def __init__(self, prev: str = NO_LINE) -> None:
        self.mark = Mark(prev, 0, 0)
        self._lines: list[bytes] = []
        self._shelf = BodyShelf()

    def header(self, origin: Origin, number: int, at_ms: int, *, new: bool) -> None:
        """The first line, of file ``number``; ``new``: the machines know nothing yet."""
        self._add(
            Header(
                *self._link(),
                format=FORMAT,
                version=origin.version,
                file=number,
                begins="new" if new else "machine",
                at_ms=at_ms,
                chain=origin.chain,
                federation=origin.federation,
                script=origin.script,
                configuration=origin.configuration,
                tables=tables_digest(),
                settings=origin.settings,
            )
        )

    def gap(self, at_ms: int, lost: int, reason: str) -> None:
        """Events are missing here."""
        self._add(Gap(*self._link(), at_ms, lost, reason))

    def machine(self, taken: Any) -> None:
        """The memory of the machines, as fedsm/trace/memory.py takes it."""
        content = msgspec.json.encode(memory.write(taken, self._shelf))
        self._add_bodies()
        self._add(Machine(*self._link(), msgspec.Raw(content)))

    def step(self, transition: Transition) -> None:
        """A transition, and before it the bodies that it is the first to name."""
        event = msgspec.json.encode(pack(transition.event, self._shelf))
        effects = [msgspec.Raw(msgspec.json.encode(pack(effect, self._shelf))) for effect in transition.effects]
        self._add_bodies()
        self._add(
            Step(
                *self._link(),
                at_ms=transition.at_ms,
                before=transition.before,
                event=msgspec.Raw(event),
                after=transition.after,
                effects=effects,
                failure=transition.failure,
            )
        )
        self.mark = self.mark._replace(steps=self.mark.steps + 1)

    def end(self, at_ms: int, *, stopped: bool) -> None:
        """The last line; ``stopped`` is False when another file goes on."""
        self._add(End(*self._link(), at_ms, self.mark.steps, stopped))

    def take(self) -> bytes:
        """The lines since the last call, each with its newline."""
        text = b"".join(self._lines)
        self._lines.clear()
        return text

    def go_back(self, mark: Mark) -> None:
        """Forget all lines after this one."""
        self.mark = mark
        self._lines.clear()

    def _add_bodies(self) -> None:
        for body in self._shelf.take_new():
            if body.size > MAX_BODY_BYTES:
                raise ValueError(f"a body of {body.size} bytes, at most {MAX_BODY_BYTES}")
            self._add(Body(*self._link(), body.sha256, body.size, body.data))

    def _link(self) -> tuple[str, int]:
        return self.mark.digest, self.mark.n + 1

    def _add(self, line: AnyLine) -> None:
        text = msgspec.json.encode(line)
        if len(text) > MAX_LINE_BYTES:
            raise ValueError(f"a line of {len(text)} bytes, at most {MAX_LINE_BYTES}")
        self.mark = Mark(digest_of(text), line.n, self.mark.steps)
        self._lines += (text, b"\n")
