"""Log lines as tests look at them: a list of dicts with ``event`` and ``log_level``."""

from __future__ import annotations

from typing import Any, cast

import structlog
from structlog.testing import LogCapture

from fedsm.log import Logger


class LogLines:
    """A logger for the thing under test, and what it logged."""

    def __init__(self) -> None:
        self._capture = LogCapture()
        self.log = cast(Logger, structlog.wrap_logger(None, processors=[self._capture]))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event, without its name."""
        return [{k: v for k, v in line.items() if k != "event"} for line in self.lines if line["event"] == event]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All lines."""
        return [dict(line) for line in self._capture.entries]
