"""Tells, of messages that travel several ways at once, which are copies of what another way has brought already."""

from __future__ import annotations

import hashlib

from transports.recent import Recent

ECHO_S = 60.0  # a copy that another way brings later than this counts as sent again
MAX_MESSAGES = 8192  # that are remembered
# By how many copies one way can be ahead: whoever repeats a message of another member on one way can keep no more
# than so many of that member's own copies on the other way from being heard.
MAX_LEAD = 8


class Echoes:
    """Counts the copies of each message on each of ``ways`` ways.

    Whoever sends the same bytes again means it, and sends them once on every way. So the n-th copy on one way is
    an echo of the n-th on another, however much later it comes, and the first n-th copy to come is none.
    """

    def __init__(self, ways: int) -> None:
        self._ways = ways
        self._seen: Recent[bytes, tuple[float, list[int]]] = Recent(MAX_MESSAGES)  # since when, copies on each way

    def is_echo(self, way: int, data: bytes, now_s: float) -> bool:
        """Whether a message that ``way`` brings now (on a steady clock) was brought by another way before."""
        key = hashlib.sha256(data).digest()
        seen = self._seen.get(key)
        if seen is None or now_s - seen[0] > ECHO_S:
            seen = (now_s, [0] * self._ways)
            self._seen.put(key, seen)
        copies = seen[1]
        others = max((count for other, count in enumerate(copies) if other != way), default=0)
        copies[way] = min(copies[way] + 1, others + MAX_LEAD)
        return copies[way] <= others
