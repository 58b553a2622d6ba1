"""What a picture of a machine shows, however it is drawn: boxes with what happens inside them, and arrows.

A table has a row for each state; drawn one by one, the rows that many states share would bury the rest. So rows
that differ only in their state make one *step*. A step that stays in its state is a line in the box. One that
leaves few states is an arrow with as many tails; one that leaves many starts at a box of its own that names them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from states.table import Edge, MachineTable

# An arrow with more tails than this is drawn from a box that names the states instead.
MAX_TAILS = 3


@dataclass(frozen=True)
class Overlay:
    """What a trace tells of one machine: how often each edge was taken, and milliseconds spent in each state."""

    counts: Mapping[Edge, int]
    times_ms: Mapping[str, int]


@dataclass(frozen=True)
class Step:
    """Rows that differ only in their source. ``otherwise``: taken when no guard of the rows before it holds."""

    edges: tuple[Edge, ...]
    otherwise: bool

    @property
    def guard(self) -> str:
        """The condition in brackets as UML writes it, or an empty string."""
        return f"[{' & '.join(self.edges[0].guards) or 'else'}]" if self.edges[0].guards or self.otherwise else ""

    @property
    def event(self) -> str:
        """Trigger and guard."""
        return f"{self.edges[0].trigger} {self.guard}".rstrip()

    @property
    def action(self) -> str:
        """What is computed when the step is taken."""
        return self.edges[0].action

    @property
    def sources(self) -> tuple[str, ...]:
        """The states it is taken in."""
        return tuple(edge.source for edge in self.edges)

    def count(self, overlay: Overlay) -> int:
        """How often any of its rows was taken."""
        return sum(overlay.counts.get(edge, 0) for edge in self.edges)

    def only(self, edges: Iterable[Edge]) -> Step:
        """The part of this step that is made of these rows."""
        return Step(tuple(edges), self.otherwise)

    def within(self, states: Sequence[str]) -> Step:
        """The part of this step that is taken in these states."""
        return self.only(edge for edge in self.edges if edge.source in states)


@dataclass
class Box:
    """A state, or several that share steps; ``steps`` are those that stay inside."""

    name: str
    title: str
    states: tuple[str, ...]
    steps: list[Step] = field(default_factory=list)

    @property
    def is_state(self) -> bool:
        """Whether this is one state and no summary of several."""
        return self.states == (self.name,)


@dataclass
class Arrow:
    """Steps from the same boxes to the same state."""

    tails: tuple[str, ...]
    head: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Picture:
    """Boxes by name, in the order of the table's states; summaries come first."""

    machine: str
    initial: str
    boxes: dict[str, Box]
    arrows: list[Arrow]

    @property
    def title(self) -> str:
        """What stands above it."""
        return f"{self.machine} machine"


def steps_of(table: MachineTable) -> list[Step]:
    """The rows of a table, those that differ only in their source together, in the order of the table."""
    alike: dict[Edge, list[Edge]] = {}
    guarded: set[tuple[str, str]] = set()
    otherwise: set[Edge] = set()
    for edge in table.edges:
        key = edge._replace(source="")
        alike.setdefault(key, []).append(edge)
        if edge.guards:
            guarded.add((edge.trigger, edge.source))
        elif (edge.trigger, edge.source) in guarded:
            otherwise.add(key)
    return [Step(tuple(edges), key in otherwise) for key, edges in alike.items()]


def picture_of(table: MachineTable) -> Picture:
    """What to draw of a machine."""
    painter = _Painter(table)
    for step in steps_of(table):
        painter.add(step)
    return painter.picture()


class _Painter:
    def __init__(self, table: MachineTable) -> None:
        self._table = table
        self._states = {name: Box(name, name, (name,)) for name in table.states}
        self._groups: dict[frozenset[str], Box] = {}
        self._arrows: dict[tuple[tuple[str, ...], str], Arrow] = {}

    def add(self, step: Step) -> None:
        """Put a step where it is drawn."""
        dest = step.edges[0].dest
        if len(step.edges) > MAX_TAILS:
            group = self._group(step.sources)
            if dest is None:
                group.steps.append(step)
            else:
                self._arrow((group.name,), dest, step)
            return
        leaving = [edge for edge in step.edges if dest not in (None, edge.source)]
        for edge in step.edges:
            if edge not in leaving:
                self._states[edge.source].steps.append(step.only([edge]))
        if leaving and dest is not None:
            self._arrow(tuple(edge.source for edge in leaving), dest, step.only(leaving))

    def picture(self) -> Picture:
        self._dissolve_idle_groups()
        boxes = [*sorted(self._groups.values(), key=lambda box: -len(box.states)), *self._states.values()]
        return Picture(
            self._table.name,
            self._table.states[0],
            {box.name: box for box in boxes},
            list(self._arrows.values()),
        )

    def _dissolve_idle_groups(self) -> None:
        """A summary that no arrow leaves is not worth a box, unless it speaks of all states."""
        busy = {tail for arrow in self._arrows.values() for tail in arrow.tails}
        for key, group in list(self._groups.items()):
            if group.name in busy or len(group.states) == len(self._table.states):
                continue
            del self._groups[key]
            for step in group.steps:
                for edge in step.edges:
                    self._states[edge.source].steps.append(step.only([edge]))
        for box in self._states.values():
            box.steps.sort(key=lambda step: self._table.edges.index(step.edges[0]))

    def _group(self, sources: tuple[str, ...]) -> Box:
        states = tuple(name for name in self._table.states if name in sources)
        return self._groups.setdefault(
            frozenset(states), Box(f"group{len(self._groups)}", named(states, self._table), states)
        )

    def _arrow(self, tails: tuple[str, ...], head: str, step: Step) -> None:
        self._arrows.setdefault((tails, head), Arrow(tails, head)).steps.append(step)


def named(states: Sequence[str], table: MachineTable) -> str:
    """Several states of a machine in as few words as it takes."""
    others = [name for name in table.states if name not in states]
    if not others:
        return "every state"
    return f"every state but {_listed(others)}" if len(others) < len(states) else _listed(states)


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
