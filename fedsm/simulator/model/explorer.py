"""Visits every state that a case can reach, nearest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.judge import Judge
from fedsm.simulator.model.lies import lies
from fedsm.simulator.model.moves import Moves

State = tuple[int, ...]  # the place of each honest member, crashes so far, and what is under way


@dataclass
class Tour:
    """How far an exploration is.

    ``transitions`` are the moves between states, ``depth`` the moves to the farthest one, ``places`` the different
    ways in which one member can stand, ``inputs`` how often a member's machines were run, ``ends`` the states in
    which nobody can move any more within the bounds.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    ends: int = 0
    places: int = 0
    inputs: int = 0
    waiting: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth}, {self.ends:,} ends; "
            f"{self.places:,} places of members, {self.inputs:,} inputs; {self.seconds:.0f} s"
        )


class Explorer:
    """Breadth first, from members that were never started. A violation that is found is one of the nearest."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.moves = Moves(case)
        self.tour = Tour()
        self._judge = Judge(case, self.moves)
        self._parents: dict[State, State | None] = {}
        self._at: State = ()

    def run(self, report: Callable[[Tour], None] | None = None) -> Tour:
        """Go on until no state is left that was not visited. Violation."""
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
            layer = following
        return self.tour

    def way_to_violation(self) -> list[str]:
        """After a Violation: the steps that lead to the state in which the next one breaks the rule."""
        way: list[State] = []
        state: State | None = self._at
        while state is not None:
            way.append(state)
            state = self._parents[state]
        way.reverse()
        return [self._words(before, after) for before, after in pairwise(way)]

    def _first(self) -> State:
        members = [self.moves.begin(member) for member in self.case.honest]
        said = sum(map(self.moves.alphabet.message, lies(self.case)))
        return (*members, 0, said)

    def _visit(self, state: State, following: list[State]) -> None:
        self._at, under_way, is_end = state, state[-1], True
        for after, step in self._successors(state):
            is_end = False
            self.tour.transitions += 1
            self._judge.check(under_way, step)
            if after not in self._parents:
                self._parents[after] = state
                following.append(after)
        self.tour.ends += is_end

    def _successors(self, state: State) -> Iterator[tuple[State, int]]:
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

    def _words(self, before: State, after: State) -> str:
        pairs = zip(self.case.honest, before[:-2], after[:-2], strict=True)
        member, place = next((member, there) for member, here, there in pairs if here != there)
        crash = "crashes, " if after[-2] > before[-2] else ""
        said = ", ".join(self.moves.alphabet.words(after[-1] & ~before[-1])) or "nothing"
        return f"member {member} {crash}says {said}; then {self.moves.words(place)}"

    def _take_stock(self, waiting: int, seconds: float) -> None:
        tour = self.tour
        tour.depth += len(self._parents) > tour.states > 0
        tour.states, tour.waiting, tour.seconds = len(self._parents), waiting, seconds
        tour.places, tour.inputs = len(self.moves.places), self.moves.inputs_taken
