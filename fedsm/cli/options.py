"""Options shared by subcommands: each also from a FEDSM_* variable and from the configuration file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PROPOSED_PARAMETERS = "proposed_parameters"


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that is also read from FEDSM_<NAME>; the name is the first long one."""
    long = next(name for name in names if name.startswith("--"))
    variable = "FEDSM_" + long[2:].split("/")[0].upper().replace("-", "_")
    return click.option(*names, envvar=variable, show_envvar=True, **settings)


def config_option(function: F) -> F:
    """--config FILE: a TOML file whose keys are the long option names; flags and variables override it."""
    return option(
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load_config,
        help="TOML file with the same names as these options.",
    )(function)


def _load_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Make the file's values the defaults. Unknown names are refused, so that a typo cannot go unnoticed."""
    if path is None:
        return
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from None
    values = {name.replace("-", "_"): value for name, value in values.items()}
    known = {param.name for param in ctx.command.params if param.name} | {PROPOSED_PARAMETERS}
    unknown = sorted(set(values) - known)
    if unknown:
        raise click.UsageError(f"{path}: unknown setting {', '.join(unknown)}")
    ctx.meta[PROPOSED_PARAMETERS] = values.pop(PROPOSED_PARAMETERS, None)
    ctx.default_map = {**(ctx.default_map or {}), **values}


def node_options(function: F) -> F:
    """How to reach the node: the old daemon's flags with all the spellings it took, and cookie files."""
    decorators = (
        option("--rpcconnect", "--rpconnect", default="127.0.0.1", show_default=True, help="Host of the node."),
        option(
            "--rpcport",
            type=click.IntRange(1, 65535),
            default=7041,
            show_default=True,
            help="RPC port of the node.",
        ),
        option("--rpcuser", help="RPC user name."),
        option("--rpcpassword", "--rpcpass", help="RPC password; better by FEDSM_RPCPASSWORD or --rpccookiefile."),
        option(
            "--rpccookiefile",
            type=click.Path(path_type=Path),
            help="The node's .cookie file, instead of user and password.",
        ),
        option("--rpcwallet", help="Name of the node's wallet to use, where it has several."),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function
