"""What a member can do next, worked out once for each place where a member can stand.

An input that changes nothing for others is *silent*: nothing is said, written down or added to the chain. Silent
inputs of one member may be put off until just before its next loud one without any other member noticing, because
what is under way stays under way. So a *move* is: some silent inputs, then a loud one; and only where members stand
after loud inputs is part of a global state. A move whose silent inputs could as well come after the loud one leads
to nothing new and is left out: whether they could is not assumed, but tried (``_comes_later``).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from fedsm.simulator.model.alphabet import Alphabet, numbers
from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.host import Fire, Host, Input, Local, Start, Step, Timer
from fedsm.simulator.model.witness import Observation

Key = int  # of an input: a letter's number, or below 0 the start and the timers
START: Key = -1


class Taken(NamedTuple):
    """What an input leads to: a place, what comes to be under way, and which step it was (for the watch)."""

    place: int
    said: int
    step: int
    is_loud: bool


class Move(NamedTuple):
    """Silent inputs and then a loud one, or a crash, as what they lead to."""

    place: int
    said: int
    step: int


class Moves:
    """All places where members can stand, by number, and the steps between them.

    ``steps`` holds for each different step what a watch would have seen of it, and what the member's node had found
    valid before it.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.alphabet = Alphabet(case)
        self.host = Host(case)
        self.places: list[Local] = []
        self.steps: list[tuple[int, frozenset[str], tuple[Observation, ...]]] = []
        self.inputs_taken = 0
        self._heard: list[int] = []
        self._timers: list[tuple[Key, ...]] = []
        self._numbers: dict[bytes, int] = {}
        self._step_numbers: dict[tuple[int, frozenset[str], tuple[Observation, ...]], int] = {}
        self._timer_keys: dict[Timer, Key] = {}
        self._inputs: dict[Key, Input] = {START: Start()}
        self._taken: dict[tuple[int, Key], Taken] = {}
        self._crashes: dict[tuple[int, Key], tuple[Move, ...]] = {}
        self._moves: dict[tuple[int, int], tuple[Move, ...]] = {}
        self._crash_moves: dict[tuple[int, int], tuple[Move, ...]] = {}
        self.nothing_seen = self._step_number(Step(self.host.new(case.honest[0]), (), ()), frozenset())

    def begin(self, member: int) -> int:
        """Where a member stands whose process was never started."""
        return self._place(self.host.new(member), 0)

    # --- moves

    def of(self, place: int, under_way: int) -> tuple[Move, ...]:
        """What the member that stands there may do next. Violation."""
        near = self.alphabet.to_be_had(under_way) & self.audible(place)
        known = self._moves.get((place, near))
        if known is None:
            known = self._moves[place, near] = tuple(dict.fromkeys(self._loud_moves(place, near)))
        return known

    def crashes_of(self, place: int, under_way: int) -> tuple[Move, ...]:
        """The ways in which the member that stands there may go down: now, or in the middle of its next step."""
        near = self.alphabet.to_be_had(under_way) & self.audible(place)
        known = self._crash_moves.get((place, near))
        if known is None:
            found = dict.fromkeys(self._ways_down(place, near))
            known = self._crash_moves[place, near] = tuple(found)
        return known

    def words(self, place: int) -> str:
        """Where a member stands, for people to read."""
        local = self.places[place]
        if local.is_finished:
            return "its node has the last block"
        return "it is down" if local.core is None else f"it is in {self.host.standing(local)}"

    def audible(self, place: int) -> int:
        """What may still reach a member: what it took in once changes nothing a second time (a test tries that)."""
        local = self.places[place]
        if local.core is None:
            return 0
        return self.alphabet.audible_to(local) & ~self._heard[place]

    def _loud_moves(self, place: int, near: int) -> Iterator[Move]:
        reached = self._silently_reached(place, near)
        for there, arrivals in reached.items():
            for key in self._keys(there, near):
                taken = self.take(there, key)
                if taken.is_loud and not any(self._comes_later(*arrival, key, taken) for arrival in arrivals):
                    yield Move(taken.place, taken.said, taken.step)

    def _ways_down(self, place: int, near: int) -> Iterator[Move]:
        if self.places[place].core is None:
            return
        yield Move(self._down(place), 0, self.nothing_seen)
        for there in self._silently_reached(place, near):
            for key in self._keys(there, near):
                if self.take(there, key).is_loud:
                    yield from self._crashes_in(there, key)

    def _silently_reached(self, start: int, near: int) -> dict[int, list[tuple[int, Key]]]:
        """Where silent inputs lead, nearest first, each with the places and inputs from which it was reached.

        Of those only such as were reached before it.
        """
        reached: dict[int, list[tuple[int, Key]]] = {start: []}
        queue = [start]
        for place in queue:
            for key in self._keys(place, near):
                taken = self.take(place, key)
                if taken.is_loud:
                    continue
                if taken.place not in reached:
                    reached[taken.place] = []
                    queue.append(taken.place)
                    reached[taken.place].append((place, key))
                elif queue.index(taken.place) > queue.index(place):
                    reached[taken.place].append((place, key))
        return reached

    def _comes_later(self, earlier: int, silent: Key, loud: Key, taken: Taken) -> bool:
        """Whether the loud input does the same without the silent one.

        Which either makes no difference then, or may come after it as silently.
        """
        if loud not in self._keys(earlier, -1):
            return False
        first = self.take(earlier, loud)
        if not first.is_loud or first.said != taken.said:
            return False
        if first.place == taken.place:
            return True
        if silent not in self._keys(first.place, -1):
            return False
        second = self.take(first.place, silent)
        return not second.is_loud and second.place == taken.place

    def _keys(self, place: int, near: int) -> list[Key]:
        local = self.places[place]
        if local.core is None:
            return [] if local.is_finished else [START]
        return [*self._timers[place], *numbers(near & self.audible(place))]

    # --- steps

    def take(self, place: int, key: Key) -> Taken:
        """The member that stands there takes an input. Violation."""
        known = self._taken.get((place, key))
        if known is None:
            known = self._taken[place, key] = self._try(place, key)
        return known

    def _try(self, place: int, key: Key) -> Taken:
        local = self.places[place]
        self.inputs_taken += 1
        step = self.host.step(local, self._input(key))
        same_life = local.core is not None and len(step.local.chain) == len(local.chain)
        heard = self._heard[place] | (self.alphabet.taken_in(key) if key >= 0 else 0) if same_life else 0
        said = self._said(local, step)
        is_loud = said != 0 or step.local.durable != local.durable
        return Taken(self._place(step.local, heard), said, self._step_number(step, local.judged), is_loud)

    def _crashes_in(self, place: int, key: Key) -> tuple[Move, ...]:
        """What becomes of a member that goes down in the middle of a step, for each middle."""
        known = self._crashes.get((place, key))
        if known is None:
            known = self._crashes[place, key] = tuple(dict.fromkeys(self._try_crashes(place, key)))
        return known

    def _try_crashes(self, place: int, key: Key) -> Iterator[Move]:
        local = self.places[place]
        for effects in count(1):
            self.inputs_taken += 1
            step = self.host.step(local, self._input(key), crash_after=effects)
            if step.local.core is not None or step.local.is_finished:
                return  # it came to the end of the step
            there, said = self._place(step.local, 0), self._said(local, step)
            if said or step.local.durable != local.durable:
                yield Move(there, said, self._step_number(step, local.judged))

    def _down(self, place: int) -> int:
        """The member goes down where it stands."""
        return self._place(self.host.down(self.places[place]), 0)

    def _said(self, before: Local, step: Step) -> int:
        said = 0
        for envelope in step.sent:
            said |= self.alphabet.message(envelope)
        for fact in step.facts:
            said |= self.alphabet.fact(fact)
        for height in range(len(before.chain), len(step.local.chain)):
            said |= self.alphabet.block(height, step.local.chain[height])
        return said

    # --- numbers

    def _input(self, key: Key) -> Input:
        known = self._inputs.get(key)
        if known is None:
            known = self._inputs[key] = self.alphabet.input(key)
        return known

    def _timer_key(self, timer: Timer) -> Key:
        key = self._timer_keys.get(timer)
        if key is None:
            key = self._timer_keys[timer] = START - 1 - len(self._timer_keys)
            self._inputs[key] = Fire(timer)
        return key

    def _step_number(self, step: Step, judged: frozenset[str]) -> int:
        seen = (step.local.member, judged, step.seen)
        number = self._step_numbers.setdefault(seen, len(self.steps))
        if number == len(self.steps):
            self.steps.append(seen)
        return number

    def _place(self, local: Local, heard: int) -> int:
        number = self._numbers.setdefault(local.digest, len(self.places))
        if number == len(self.places):
            self.places.append(local)
            self._heard.append(heard)
            within = (timer for timer in local.timers if self.case.is_within(timer[1], timer[2]))
            self._timers.append(tuple(map(self._timer_key, within)))
        return number
