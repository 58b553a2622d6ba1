"""The clock of a node, which tests may set (setmocktime)."""

from __future__ import annotations

import time


class NodeClock:
    """Seconds since the Unix epoch: the machine's, until it is set to a fixed moment."""

    def __init__(self) -> None:
        self._fixed: float | None = None

    def now(self) -> float:
        """The time in seconds."""
        return time.time() if self._fixed is None else self._fixed

    def set(self, seconds: float | None) -> None:
        """Stand still at ``seconds``; with ``None`` follow the machine's clock again."""
        self._fixed = seconds
