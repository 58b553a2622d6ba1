"""Virtual time: what is to happen, in order; between two happenings no time passes."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

START_MS = 1_000_000_000


class Timeline:
    """A clock in milliseconds with its agenda. What is due at one moment happens in the order it was put down."""

    def __init__(self) -> None:
        self.now_ms = START_MS
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
        """Let time pass."""
        agenda, end = self._agenda, self.now_ms + duration_ms
        while agenda and agenda[0][0] <= end:
            self.now_ms, _, action = heapq.heappop(agenda)
            action()
        self.now_ms = end
