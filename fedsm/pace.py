"""How long each step may take, derived from the block interval."""

from __future__ import annotations

from states.agreement import Timeouts

MIN_INTERVAL_MS = 50
MAX_INTERVAL_MS = 24 * 3600 * 1000


def _within(value_ms: int, least_ms: int, most_ms: int) -> int:
    return max(least_ms, min(value_ms, most_ms))


def timeouts_for(interval_ms: int) -> Timeouts:
    """Time limits for a block interval.

    A first round that fails takes half of the interval, so that the next one begins within it. The lower bounds
    hold for the machines and not for the network: below them a busy host alone would fail rounds. The upper ones
    hold because a block of 3000 transactions takes a node about 3 s to build and judge.
    """
    return Timeouts(
        propose_ms=_within(interval_ms // 4, 300, 10_000),
        prevote_ms=_within(interval_ms // 8, 150, 5_000),
        precommit_ms=_within(interval_ms // 8, 150, 5_000),
        resend_ms=_within(interval_ms // 8, 200, 1_000),
        cap_ms=60_000,
    )


def interval_of(seconds: float) -> int:
    """A block interval in milliseconds. ValueError when it is not between 50 ms and a day."""
    if not MIN_INTERVAL_MS <= seconds * 1000 <= MAX_INTERVAL_MS:  # also what is not a number
        raise ValueError(f"the block interval is {seconds:g} s; it must lie between 0.05 s and a day")
    return round(seconds * 1000)
