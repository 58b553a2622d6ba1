"""When a height's round 0 begins: slots of the block interval on the wall clock, and catching up."""

from __future__ import annotations

import msgspec


class Schedule(msgspec.Struct, frozen=True):
    """Slots are the multiples of the interval since the Unix epoch, in milliseconds.

    While the chain is behind its schedule (one block an interval since block 1) slots come twice as often.
    """

    interval_ms: int

    @property
    def early_ms(self) -> int:
        """How much before its slot a proposal may begin a round: what clocks of members may differ by."""
        return min(self.interval_ms // 10, 1000)

    def is_behind(self, height: int, first_block_time: int | None, now_ms: int) -> bool:
        """Whether a chain whose tip at ``height`` became known at ``now_ms`` lags its schedule.

        Header times are whole seconds, rounded down, so block 1 may be a second younger than it says; half an
        interval of grace keeps a slow round from being taken for a missed one.
        """
        if first_block_time is None or height < 1:
            return False
        due_ms = (first_block_time + 1) * 1000 + (height - 1) * self.interval_ms
        return now_ms > due_ms + self.interval_ms // 2

    def next_slot(self, after_ms: int, *, behind: bool) -> int:
        """The first slot strictly after ``after_ms`` (half slots count while the chain is behind)."""
        grid = max(1, self.interval_ms // 2 if behind else self.interval_ms)
        return (after_ms // grid + 1) * grid
