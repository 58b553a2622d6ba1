"""What a trace tells of the machines' edges and states: counted while the trace is replayed.

A trace says which states the machines were in, not which rows of the tables took them there: of several rows
between the same states, or of those that stay where they are, only the machines themselves know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedsm.diagram.picture import Overlay
from fedsm.replay import Player
from fedsm.trace import Gap, Header, Transition, read
from states.machine import TableMachine
from states.round import Round
from states.table import Edge


def overlays_of(trace: Path) -> dict[str, Overlay]:
    """Counts and times of a trace (a file or folder) by the machine's name. TraceError when it cannot be replayed.

    Time in which the daemon was down, or of which the trace lost the events, is not counted.
    """
    tally, player = _Tally(), Player()
    for place, item in read(trace):
        if isinstance(item, Transition) and player.core is not None:
            with tally.counting(player.core, item.at_ms):
                player.take(place, item)
            continue
        player.take(place, item)
        if isinstance(item, Gap) or (isinstance(item, Header) and item.begins == "new"):
            tally.interrupt()
    return tally.overlays()


class _Tally:
    def __init__(self) -> None:
        self._counts: dict[str, Counter[Edge]] = defaultdict(Counter)
        self._times_ms: dict[str, Counter[str]] = defaultdict(Counter)
        self._rows: dict[str, dict[tuple[str, str], list[Edge]]] = {}
        self._last_ms: int | None = None

    def interrupt(self) -> None:
        """Nobody knows what happened between the last step and the next one."""
        self._last_ms = None

    @contextmanager
    def counting(self, core: Round, at_ms: int) -> Iterator[None]:
        """Count what the machines do within, and the time since the last step."""
        elapsed_ms = 0 if self._last_ms is None else max(0, at_ms - self._last_ms)
        self._last_ms = at_ms
        reissuances = [] if core.reissuances is None else core.reissuances.machines.values()
        machines: list[TableMachine] = [core, core.agreement, *reissuances]
        for machine in machines:
            self._times_ms[machine.table.name][machine.state] += elapsed_ms
        with self._listening():
            yield

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Every machine is heard, also one that is made within: of assets whose reissuance falls due."""
        fire, tally = TableMachine.fire, self

        def heard(machine: TableMachine, trigger: str) -> bool:
            tally._note(machine, trigger)
            return fire(machine, trigger)

        TableMachine.fire = heard  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            TableMachine.fire = fire  # type: ignore[method-assign]

    def _note(self, machine: TableMachine, trigger: str) -> None:
        """Note the row before it is taken: guards only look, so that looking twice changes nothing."""
        name = machine.table.name
        if name not in self._rows:
            self._rows[name] = _rows_of(machine)
        for row in self._rows[name].get((trigger, machine.state), ()):
            if all(getattr(machine, guard)() for guard in row.guards):
                self._counts[name][row] += 1
                break

    def overlays(self) -> dict[str, Overlay]:
        return {
            name: Overlay(self._counts[name], self._times_ms[name]) for name in {**self._times_ms, **self._counts}
        }


def _rows_of(machine: TableMachine) -> dict[tuple[str, str], list[Edge]]:
    rows: dict[tuple[str, str], list[Edge]] = {}
    for edge in machine.table.edges:
        rows.setdefault((edge.trigger, edge.source), []).append(edge)
    return rows
