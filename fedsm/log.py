"""Logging by structlog: readable lines on a terminal, one JSON object a line otherwise, always to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from structlog.dev import plain_traceback

LogFormat = Literal["auto", "console", "json"]
Logger = structlog.stdlib.BoundLogger


def configure(log_format: LogFormat = "auto", level: str = "info") -> None:
    """Set up logging for the process; ``level`` is debug, info, warning or error."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderers: list[structlog.types.Processor] = (
        # The library's own tracebacks show local variables, and a key may be one.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(**context: object) -> Logger:
    """A logger with ``context`` bound to every line."""
    logger: Logger = structlog.get_logger(**context)
    return logger
