"""The trace: every event that a member's machines took and every effect they returned, for audit and replay."""

from __future__ import annotations

from pathlib import Path

from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.trace.book import Book
from fedsm.trace.chain import Place, TraceError
from fedsm.trace.digests import configuration_digest
from fedsm.trace.lines import End, Gap, Header, Standing, tables_digest
from fedsm.trace.reader import Item, Kept, files_of, read
from fedsm.trace.recorder import UNTRACED, Recorder, Trace
from fedsm.trace.settings import TraceSettings
from fedsm.trace.sheet import Origin, Transition
from fedsm.trace.writer import Writer

__all__ = [
    "UNTRACED",
    "End",
    "Gap",
    "Header",
    "Item",
    "Kept",
    "Origin",
    "Place",
    "Standing",
    "Trace",
    "TraceError",
    "TraceSettings",
    "Transition",
    "configuration_digest",
    "files_of",
    "open_trace",
    "read",
    "tables_digest",
]

FOLDER = "trace"


def open_trace(
    settings: TraceSettings | None, state_directory: Path, origin: Origin, clock: Clock, log: Logger
) -> Trace:
    """The trace that an operator's settings ask for; None asks for none. Nothing is written before its start."""
    if settings is None:
        return UNTRACED
    directory = (settings.directory or state_directory / FOLDER).expanduser()
    return Recorder(
        Writer(Book(directory, origin, settings.file_bytes, settings.total_bytes), clock, log), clock, log
    )
