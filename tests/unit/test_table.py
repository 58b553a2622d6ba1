"""The tables of states/table.py are complete, consistent with the machines, and the only source of edges."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from itertools import pairwise

import pytest
from transitions import MachineError

from states.events import TimerName
from states.machine import TableMachine
from states.reissuance import Reissuance
from states.round import Round
from states.table import AGREEMENT, REISSUANCE, ROUND, TABLES, Edge, MachineTable
from tests.core_bench import settings

# Triggers that no event is: the machines fire them themselves.
INTERNAL = {
    "round": {"begin", "decide", "fail", "combine"},
    "agreement": {"review"},
    "reissuance": {"review"},
}
# Where nothing is waited for: the next step is taken at once, from outside the machine or never.
NOT_WAITING = {"Waiting", "RoundOver", "Decided", "Done", "Deferred"}

tables = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def machine_of(table: MachineTable, top: Round | None = None) -> TableMachine:
    top = top or Round(settings(reissue=10))
    if table is REISSUANCE:
        assert top.reissuances is not None
        return top.reissuances.machines.setdefault("asset", Reissuance(top.reissuances.terms, "asset"))
    return top if table is ROUND else top.agreement


def rows(table: MachineTable) -> Iterator[tuple[str, str, list[Edge]]]:
    """Each (state, trigger) with its edges in order."""
    for state in table.states:
        for trigger in table.triggers:
            yield state, trigger, [e for e in table.edges if (e.source, e.trigger) == (state, trigger)]


@tables
def test_every_state_and_trigger_has_an_edge_or_a_reason_to_be_ignored_and_never_both(table: MachineTable) -> None:
    for state, trigger, edges in rows(table):
        ignored = state in table.ignored.get(trigger, ((), ""))[0]
        assert bool(edges) != ignored, f"{trigger} in {state}"


@tables
def test_ignored_pairs_name_known_states_and_triggers_and_say_why(table: MachineTable) -> None:
    for trigger, (states, reason) in table.ignored.items():
        assert trigger in table.triggers
        assert set(states) <= set(table.states)
        assert len(set(states)) == len(states)
        assert reason


@tables
def test_every_edge_names_known_states_and_methods_of_the_machine(table: MachineTable) -> None:
    kind = type(machine_of(table))
    for edge in table.edges:
        assert edge.source in table.states
        assert edge.dest is None or edge.dest in table.states
        for name in (edge.action, *edge.guards):
            assert callable(getattr(kind, name, None)), f"{kind.__name__} has no method {name}"


@tables
def test_every_event_is_dealt_with_by_some_row_whatever_the_guards_say(table: MachineTable) -> None:
    for state, trigger, edges in rows(table):
        if edges and trigger not in INTERNAL[table.name]:
            assert edges[-1].guards == (), f"{trigger} in {state} may fall through"


@tables
def test_no_row_stands_behind_one_that_is_always_taken(table: MachineTable) -> None:
    for state, trigger, edges in rows(table):
        for earlier, later in pairwise(edges):
            assert earlier.guards, f"{trigger} in {state}: {later.action} is never reached"


@tables
def test_every_state_is_reachable_and_leads_back_to_the_first(table: MachineTable) -> None:
    edges = [(e.source, e.dest) for e in table.edges if e.dest is not None]

    def reach(start: str, pairs: list[tuple[str, str]]) -> set[str]:
        found, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for source, dest in pairs:
                if source == here and dest not in found:
                    found.add(dest)
                    todo.append(dest)
        return found

    assert reach(table.states[0], edges) == set(table.states)
    assert reach(table.states[0], [(b, a) for a, b in edges]) == set(table.states)


@tables
def test_every_waiting_state_is_left_or_renewed_by_its_timer(table: MachineTable) -> None:
    waiting = set(table.states) if table is ROUND else set(table.states) - NOT_WAITING
    assert set(table.timeouts) == waiting
    for state, timer in table.timeouts.items():
        assert any((e.source, e.trigger) == (state, timer) for e in table.edges), f"{state} has no {timer} edge"


def test_every_timer_has_its_trigger() -> None:
    tables_of = {"propose": AGREEMENT, "prevote": AGREEMENT, "precommit": AGREEMENT, "turn": REISSUANCE}
    for name in typing.get_args(TimerName):
        assert f"{name}_timer" in tables_of.get(name, ROUND).triggers


@tables
def test_the_machine_has_the_edges_of_the_table_and_no_others(table: MachineTable) -> None:
    machine = machine_of(table).machine
    built = {
        (name, t.source, t.dest, *t.after, tuple(c.func for c in t.conditions))
        for name, event in machine.events.items()
        for transitions in event.transitions.values()
        for t in transitions
    }
    assert built == {(e.trigger, e.source, e.dest, e.action, e.guards) for e in table.edges}
    assert list(machine.events) == list(table.triggers)
    assert not [name for name in machine.events if name.startswith("to_")]
    assert list(machine.states) == list(table.states)
    assert machine_of(table).state == table.states[0]


@tables
def test_ignored_pairs_change_nothing_and_have_no_effects(table: MachineTable) -> None:
    for trigger, (states, _) in table.ignored.items():
        for state in states:
            top = Round(settings(reissue=10))
            machine = machine_of(table, top)
            machine.state = state
            before = dict(vars(machine))
            assert not machine.fire(trigger)
            assert vars(machine) == before
            assert not top._effects
            assert not top.agreement.effects
            assert not getattr(machine, "effects", [])


@tables
def test_a_trigger_that_the_table_does_not_know_is_an_error(table: MachineTable) -> None:
    machine = machine_of(table)
    with pytest.raises(KeyError):
        machine.fire("no_such_trigger")
    machine.state = "NoSuchState"
    with pytest.raises((MachineError, ValueError)):
        machine.fire(table.triggers[0])
