"""Visits every state that a case can reach, nearest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.judge import Judge
from fedsm.simulator.model.moves import Moves
from fedsm.simulator.violation import Violation

State = tuple[int, ...]  # the place of each honest member, crashes so far, and what is under way


@dataclass
class Tour:
    """How far an exploration is. ``ends`` counts states in which nobody can do anything any more."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    waiting: int = 0
    ends: int = 0
    places: int = 0
    inputs: int = 0
    letters: int = 0
    finished: int = 0
    seconds: float = 0.0


class Explorer:
    """Breadth first, from members that were never started. Violation at the first one found."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.moves = Moves(case)
        self.judge = Judge(case, self.moves)
        self.tour = Tour()
        self._parents: dict[State, State | None] = {}

    def run(self, report: Callable[[Tour], None] | None = None) -> Tour:
        """Go on until no state is left that was not visited."""
        began = time.monotonic()
        layer: list[State] = [self._first()]
        self._parents[layer[0]] = None
        while layer:
            following: list[State] = []
            for state in layer:
                self._visit(state, following)
            self._take_stock(len(following), time.monotonic() - began)
            if report is not None:
                report(self.tour)
            self.tour.depth += bool(following)
            layer = following
        return self.tour

    def _first(self) -> State:
        members = [self.moves.begin(member) for member in self.case.honest]
        return (*members, 0, self.judge.said_by_liars())

    def _visit(self, state: State, following: list[State]) -> None:
        *_, under_way = state
        alone = True
        for after, step in self.successors(state):
            alone = False
            self.tour.transitions += 1
            self.judge.check(under_way, step)
            if after not in self._parents:
                self._parents[after] = state
                following.append(after)
        self.tour.ends += alone

    def successors(self, state: State) -> Iterator[tuple[State, int]]:
        """The states that may come next, each with the number of the step that leads there."""
        *places, crashes, under_way = state
        may_crash = crashes < self.case.crashes
        for position, place in enumerate(places):
            before, after = state[:position], state[position + 1 : -2]
            for move in self.moves.of(place, under_way):
                yield (*before, move.place, *after, crashes, under_way | move.said), move.step
            if may_crash:
                for move in self.moves.crashes_of(place, under_way):
                    yield (*before, move.place, *after, crashes + 1, under_way | move.said), move.step

    def _take_stock(self, waiting: int, seconds: float) -> None:
        tour = self.tour
        tour.states, tour.waiting, tour.seconds = len(self._parents), waiting, seconds
        tour.places, tour.inputs = len(self.moves.places), self.moves.inputs_taken
        tour.letters = len(self.moves.alphabet)
