"""Options shared by subcommands: each also from a FEDSM_* variable and from the configuration file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import click

from fedsm.config import DEFAULT_RPC_PORT, NodeAccess
from fedsm.errors import FedsmError

F = TypeVar("F", bound=Callable[..., Any])

PROPOSED_PARAMETERS = "proposed_parameters"
REISSUANCE = "reissuance"


class DecimalText(click.ParamType[str]):
    """A number that stays the text it was written as: a binary float would be another one."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a number of the configuration file as it would be written."""
        try:
            Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not a number.", param, ctx)
        return str(value)


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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FedsmError(f"{path}: {error}") from None
    for name in (PROPOSED_PARAMETERS, REISSUANCE):
        ctx.meta[name] = table.pop(name, None)
    known = _settings(ctx.command)
    unknown = sorted(name for name in table if name.replace("_", "-") not in known)
    if unknown:
        raise FedsmError(f"{path}: unknown setting {', '.join(unknown)}")
    values = {}
    for name, value in table.items():
        setting = known[name.replace("_", "-")]
        _check_type(f"{path}: {name}", value, setting.type)
        values[str(setting.name)] = value
    ctx.default_map = {**(ctx.default_map or {}), **values}


def _settings(command: click.Command) -> dict[str, click.Option]:
    """The options that the file may set, by every long spelling, without its dashes in front."""
    return {
        spelling.removeprefix("--").replace("_", "-"): setting
        for setting in command.params
        if isinstance(setting, click.Option) and setting.expose_value
        for spelling in setting.opts
    }


def _check_type(where: str, value: object, wanted: click.ParamType[Any]) -> None:
    """TOML tells numbers from strings; click would take 7041.9 for a port and true for a number of seconds."""
    if isinstance(wanted, click.types.BoolParamType):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(wanted, click.types.IntParamType):
        fits, kind = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(wanted, click.types.FloatParamType | DecimalText):
        fits, kind = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    else:
        fits, kind = isinstance(value, str), "a string"
    if not fits:
        raise FedsmError(f"{where} must be {kind}, not {value!r}")


def node_options(function: F) -> F:
    """How to reach the node: the old daemon's flags in all the spellings it took or told, and cookie files."""
    decorators = (
        option("--rpcconnect", "--rpconnect", default="127.0.0.1", show_default=True, help="Host of the node."),
        option(
            "--rpcport",
            "--rpocport",
            type=click.IntRange(1, 65535),
            default=DEFAULT_RPC_PORT,
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


def node_access(given: dict[str, Any]) -> NodeAccess:
    """The values of ``node_options``."""
    return NodeAccess(
        host=given["rpcconnect"],
        port=given["rpcport"],
        user=given["rpcuser"],
        password=given["rpcpassword"],
        cookie_file=given["rpccookiefile"],
        wallet=given["rpcwallet"],
    )
