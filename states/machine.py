"""A flat ``transitions`` machine built from one table of states/table.py."""

from __future__ import annotations

from typing import Any

from transitions import Event, EventData, Machine, Transition

from states.table import MachineTable


class _Row(Transition):
    """A transition as our tables have them: named guards, one action, no arguments.

    ``transitions`` writes several log lines for each row that it looks at, and keeps a queue and lists of
    callbacks that we have no use for: they take longer than all our guards and actions together.
    """

    def execute(self, event_data: EventData) -> bool:
        model = event_data.model
        for condition in self.conditions:
            if not getattr(model, str(condition.func))():
                return False
        if self.dest is not None:
            event_data.machine.set_state(self.dest, model)
        for action in self.after:
            getattr(model, str(action))()
        return True


class _Trigger(Event):
    """All rows of one trigger: the first one whose guards hold is taken."""

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        rows = self.transitions.get(model.state)
        if rows is None:
            return super().trigger(model, *args, **kwargs)  # which raises MachineError
        event_data = EventData(None, self, self.machine, model, args, kwargs)
        return any(row.execute(event_data) for row in rows)


class _TableMachine(Machine):
    transition_cls = _Row
    event_cls = _Trigger


class TableMachine:
    """Base of the round and agreement machines: state, guards and actions live in the subclass.

    ``fire`` takes one trigger through the table. Pairs that the table lists as ignored change nothing; a pair
    that it does not know at all is a programming error and raises ``transitions.MachineError``.
    """

    state: str

    def __init__(self, table: MachineTable) -> None:
        self._machine = _TableMachine(
            model=self, states=list(table.states), initial=table.states[0], auto_transitions=False
        )
        for edge in table.edges:
            self._machine.add_transition(
                edge.trigger, edge.source, edge.dest, conditions=list(edge.guards), after=edge.action
            )
        self._ignored = frozenset(
            (state, trigger) for trigger, (states, _) in table.ignored.items() for state in states
        )

    def fire(self, trigger: str) -> bool:
        """Take ``trigger``. Returns whether a row of the table was taken."""
        if (self.state, trigger) in self._ignored:
            return False
        return self._machine.events[trigger].trigger(self)
