"""Options of ``fedsm run`` about the trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fedsm.cli.options import option
from fedsm.errors import FedsmError
from fedsm.trace.settings import DEFAULT_FILE_BYTES, DEFAULT_TOTAL_BYTES, MEGABYTE, TraceSettings

F = TypeVar("F", bound=Callable[..., Any])


def trace_options(function: F) -> F:
    """The options, in the order in which help shows them."""
    decorators = (
        option("--trace", type=click.Path(path_type=Path), help="Folder of the trace.  [default: below --datadir]"),
        option("--no-trace", is_flag=True, help="Keep no trace."),
        option(
            "--trace-size",
            type=click.IntRange(1),
            default=DEFAULT_TOTAL_BYTES // MEGABYTE,
            show_default=True,
            help="Megabytes that the trace may take; then its oldest files are removed.",
        ),
        option(
            "--trace-file-size",
            type=click.IntRange(1),
            default=DEFAULT_FILE_BYTES // MEGABYTE,
            show_default=True,
            help="Megabytes after which the trace goes on in a new file; older ones are compressed.",
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def trace_settings(given: dict[str, Any]) -> TraceSettings | None:
    """The values of ``trace_options``; None for no trace."""
    if given["no_trace"]:
        if given["trace"] is not None:
            raise FedsmError("--trace and --no-trace exclude each other: give one or the other")
        return None
    try:
        return TraceSettings(given["trace"], given["trace_file_size"] * MEGABYTE, given["trace_size"] * MEGABYTE)
    except ValueError:
        raise FedsmError("--trace-size must be at least six times --trace-file-size") from None
