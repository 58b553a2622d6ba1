"""Virtual time: what is to happen, in order; between two happenings no time passes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from fedsm.simulator.violation import Violation

START_MS = 1_000_000_000
MOST_AT_ONCE = 100_000


class Timeline:
    """A clock in milliseconds with its agenda. What is due at one moment happens in the order it was put down."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self._at_once = 0
        self._agenda: list[tuple[int, int, Callable[[], object]]] = []
        self._order = itertools.count()

    @property
    def elapsed_ms(self) -> int:
        """How much time has passed."""
        return self.now_ms - START_MS

    def at(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Do this so much later."""
        heapq.heappush(self._agenda, (self.now_ms + delay_ms, next(self._order), action))

    def run_for(self, duration_ms: int) -> None:
        """Let time pass. Violation ``no-end`` when it does not, for all that happens at one moment."""
        agenda, end = self._agenda, self.now_ms + duration_ms
        while agenda and agenda[0][0] <= end:
            due_ms, _, action = heapq.heappop(agenda)
            if due_ms > self.now_ms:
                self.now_ms, self._at_once = due_ms, 0
            self._at_once += 1
            if self._at_once > MOST_AT_ONCE:
                raise Violation("no-end", f"{MOST_AT_ONCE} things happen at {self.elapsed_ms} ms")
            action()
        self.now_ms = end
