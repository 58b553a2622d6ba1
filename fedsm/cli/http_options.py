"""Options of ``fedsm run`` about the web server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fedsm.cli.options import option
from fedsm.web.settings import DEFAULT_HOST, DEFAULT_PORT, TOKEN_VARIABLE, HttpSettings, load_token, parse_http

F = TypeVar("F", bound=Callable[..., Any])


def http_options(function: F) -> F:
    """The options, in the order in which help shows them."""
    decorators = (
        option(
            "--http",
            help="HOST:PORT of the operator's page, health and metrics, or off.  "
            f"[default: {DEFAULT_HOST}, port {DEFAULT_PORT} plus --id]",
        ),
        option(
            "--http-token-file",
            type=click.Path(path_type=Path),
            help=f"File (mode 600) with the token that is asked for over HTTP; or {TOKEN_VARIABLE}.",
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def http_of(given: dict[str, Any]) -> HttpSettings | None:
    """The values of ``http_options``; None for no web server."""
    return parse_http(given["http"], load_token(given["http_token_file"]))
