"""Logging by structlog: readable lines on a terminal, one JSON object a line otherwise, always to stderr."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Literal, TextIO, cast

import structlog
from structlog.dev import plain_traceback

from fedsm.errors import FedsmError

LogFormat = Literal["auto", "console", "json"]
Logger = structlog.stdlib.BoundLogger


class LogFile:
    """A file that lines are added to, and that can be opened anew after somebody has moved it away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = self._open()

    def write(self, text: str) -> None:
        """Add to the file."""
        with self._lock:
            self._file.write(text)

    def flush(self) -> None:
        """Hand what was written to the system."""
        with self._lock:
            self._file.flush()

    def reopen(self) -> None:
        """Go on in the file that has the name now. FedsmError if there can be none; then the old one is kept."""
        opened = self._open()
        with self._lock:
            self._file, old = opened, self._file
        old.close()

    def _open(self) -> TextIO:
        try:
            return self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise FedsmError(f"--log-file {self._path}: {error.strerror}") from None


def configure(log_format: LogFormat = "auto", level: str = "info", file: LogFile | None = None) -> None:
    """Set up logging for the process, to standard error or a file; ``level`` is debug, info, warning or error.

    May be done again at any time.
    """
    target = sys.stderr if file is None else cast("TextIO", file)
    terminal = file is None and sys.stderr.isatty()
    console = log_format == "console" or (log_format == "auto" and terminal)
    renderers: list[structlog.types.Processor] = (
        # The library's own tracebacks show local variables, and a key may be one.
        [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def get_logger(**context: object) -> Logger:
    """A logger with ``context`` bound to every line."""
    logger: Logger = structlog.get_logger(**context)
    return logger
