"""The two clocks of a daemon: the wall clock, which slots follow, and a steady one, which timers follow."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both clocks in milliseconds; only ``wall_ms`` may jump."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""

    def steady_ms(self) -> int:
        """Milliseconds since some moment in the past; never goes back."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """Milliseconds of the monotonic clock."""
        return time.monotonic_ns() // 1_000_000
