"""fedsm status: what a running daemon knows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from fedsm.cli.options import option
from fedsm.cli.status_view import view
from fedsm.errors import FedsmError
from fedsm.observe.status import Status
from fedsm.web.client import DaemonAddress, address_of, fetch_status
from fedsm.web.settings import load_token

F = TypeVar("F", bound=Callable[..., Any])
POLL_S = 0.25


def daemon_options(function: F) -> F:
    """Which daemon is asked."""
    path = click.Path(path_type=Path)
    for decorator in (
        option("--http-token-file", type=path, help="The token's file, if the daemon asks for one."),
        option("--http", help="HOST:PORT where the daemon serves.  [default: as --config says, or 127.0.0.1:7150]"),
        option("--config", type=path, help="The daemon's configuration file: tells where it serves."),
    ):
        function = decorator(function)
    return function


def daemon_address(given: dict[str, Any]) -> DaemonAddress:
    """The values of ``daemon_options``."""
    return address_of(given["http"], load_token(given["http_token_file"]), given["config"])


@click.command()
@daemon_options
@click.option("--wait", type=click.FloatRange(0), metavar="SECONDS", help="Wait so long for it to be ready.")
@click.option("--json", "as_json", is_flag=True, help="The status document (docs/formats.md).")
def status(wait: float | None, as_json: bool, **given: Any) -> None:
    """Print what a running daemon knows: its round, the members, the last blocks, what is wrong.

    Exit status 0 when the daemon is ready, 1 when it is not or does not answer.
    """
    found = _fetch(daemon_address(given), wait)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        Console(highlight=False, markup=False).print(view(found), soft_wrap=True)
    if not found.ready:
        sys.exit(1)


def _fetch(address: DaemonAddress, wait: float | None) -> Status:
    """The status: now, or as soon as the daemon is ready within ``wait`` seconds."""
    end = time.monotonic() + (wait or 0)
    while True:
        try:
            found = fetch_status(address)
            if found.ready or time.monotonic() >= end:
                return found
        except FedsmError:
            if time.monotonic() >= end:
                raise
        time.sleep(POLL_S)
