"""A flat ``transitions`` machine built from one table of states/table.py."""

from __future__ import annotations

from transitions import Machine

from states.table import MachineTable


class TableMachine:
    """Base of the round and agreement machines: state, guards and actions live in the subclass.

    ``fire`` takes one trigger through the table. Pairs that the table lists as ignored change nothing; a pair
    that it does not know at all is a programming error and raises ``transitions.MachineError``.
    """

    state: str

    def __init__(self, table: MachineTable) -> None:
        self._machine = Machine(
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
        taken: bool = self._machine.events[trigger].trigger(self)
        return taken
