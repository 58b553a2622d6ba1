"""A machine as text in columns (a Markdown table, which reads well in a terminal too) and as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fedsm.diagram.picture import Overlay, named, steps_of
from fedsm.diagram.text import share
from states.table import MachineTable


def text(table: MachineTable, overlay: Overlay | None = None) -> str:
    """All rows in the order in which they are tried, what is ignored and why, and the timers."""
    heads = ["in", "event", "guard", "action", "goes to"]
    rows = []
    for step in steps_of(table):
        first = step.edges[0]
        row = [named(step.sources, table), first.trigger, step.guard.strip("[]"), step.action, first.dest or "-"]
        rows.append(row if overlay is None else [*row, str(step.count(overlay))])
    ignored = [[trigger, named(states, table), why] for trigger, (states, why) in table.ignored.items()]
    parts = [
        f"# {table.name} machine",
        f"Initial state: {table.states[0]}. Of the rows of an event the first one whose guard holds is taken.",
        _columns(heads if overlay is None else [*heads, "taken"], rows),
        "## Ignored",
        _columns(["event", "in", "because"], ignored),
        "## Timeouts",
        _columns(["state", "timer"], list(table.timeouts.items())),
    ]
    if overlay is not None:
        spent = [[state, share(overlay, state)] for state in table.states]
        parts += ["## Time spent", _columns(["state", "time"], spent)]
    return "\n\n".join(parts) + "\n"


def data(table: MachineTable, overlay: Overlay | None = None) -> dict[str, Any]:
    """The table as it stands, one object for each row; with a trace, its counts and milliseconds."""
    edges = [edge._asdict() for edge in table.edges]
    states: list[dict[str, Any]] = [{"name": name} for name in table.states]
    if overlay is not None:
        for row, edge in zip(edges, table.edges, strict=True):
            row["count"] = overlay.counts.get(edge, 0)
        for state in states:
            state["time_ms"] = overlay.times_ms.get(state["name"], 0)
    return {
        "name": table.name,
        "initial": table.states[0],
        "states": states,
        "edges": edges,
        "ignored": [
            {"trigger": trigger, "states": names, "because": why} for trigger, (names, why) in table.ignored.items()
        ],
        "timeouts": table.timeouts,
    }


def _columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )
