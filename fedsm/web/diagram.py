"""The round machine as the page draws it: its states, and which lead to which."""

from __future__ import annotations

from states.table import ROUND


def diagram() -> dict[str, object]:
    """States in the order of the table; edges (source, destination, triggers), one for each pair."""
    edges: dict[tuple[str, str], list[str]] = {}
    for edge in ROUND.edges:
        if edge.dest is not None and edge.dest != edge.source:
            triggers = edges.setdefault((edge.source, edge.dest), [])
            if edge.trigger not in triggers:
                triggers.append(edge.trigger)
    return {
        "states": ROUND.states,
        "edges": [
            {"source": source, "dest": dest, "triggers": triggers} for (source, dest), triggers in edges.items()
        ],
    }
