"""A flat ``transitions`` machine built from one table of states/table.py."""

from __future__ import annotations

from typing import Any, ClassVar

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
            if not getattr(model, condition.func)():  # type: ignore[arg-type]  # our tables have names
                return False
        if self.dest is not None:
            event_data.machine.set_state(self.dest, model)
        for action in self.after:
            getattr(model, action)()  # type: ignore[arg-type]
        return True


class _Trigger(Event):
    """All rows of one trigger: the first one whose guards hold is taken."""

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        rows = self.transitions.get(model.state)
        if rows is None:
            return super().trigger(model, *args, **kwargs)  # which raises MachineError
        event_data = EventData(None, self, self.machine, model, args, kwargs)
        for row in rows:  # noqa: SIM110 - any() is slower
            if row.execute(event_data):
                return True
        return False


class _TableMachine(Machine):
    transition_cls = _Row
    event_cls = _Trigger


class TableMachine:
    """Base of the round and agreement machines: state, guards and actions live in the subclass.

    All instances of a subclass share one ``transitions`` machine, made from the subclass's ``table``. It binds
    nothing to them: ``fire`` is the only way in. It takes one trigger through the table; pairs that the table lists
    as ignored change nothing, and a pair that it does not know at all is a programming error and raises
    ``transitions.MachineError``.
    """

    table: ClassVar[MachineTable]
    machine: ClassVar[Machine]
    _ignored: ClassVar[frozenset[tuple[str, str]]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "table" in vars(cls):
            cls.machine = _build(cls.table)
            cls._ignored = frozenset(
                (state, trigger) for trigger, (states, _) in cls.table.ignored.items() for state in states
            )

    def __init__(self) -> None:
        self.state = self.table.states[0]

    def fire(self, trigger: str) -> bool:
        """Take ``trigger``. Returns whether a row of the table was taken."""
        if (self.state, trigger) in self._ignored:
            return False
        return self.machine.events[trigger].trigger(self)


def _build(table: MachineTable) -> Machine:
    machine = _TableMachine(model=None, states=list(table.states), initial=table.states[0], auto_transitions=False)
    for edge in table.edges:
        machine.add_transition(
            edge.trigger, edge.source, edge.dest, conditions=list(edge.guards), after=edge.action
        )
    return machine
