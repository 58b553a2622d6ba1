"""Options of the reissuance schedule, in the old daemon's spelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fedsm.cli.options import REISSUANCE, DecimalText, option
from fedsm.errors import FedsmError
from fedsm.log import get_logger
from fedsm.reissue.config import ReissueConfig, configure_reissue, is_wanted
from fedsm.reissue.strategy import ReissueError

F = TypeVar("F", bound=Callable[..., Any])


def reissue_options(function: F) -> F:
    """The options, in the order in which help shows them."""
    decorators = (
        option(
            "--inflationrate",
            type=DecimalText(),
            default="0",
            show_default=True,
            help="Reissuance: growth in a year, 0.05 is 5 %; 0: nothing is reissued.",
        ),
        option("--inflationperiod", type=int, default=0, help="Reissuance: blocks from one to the next."),
        option("--inflationaddress", default="", help="Reissuance: address that is paid."),
        option("--reissuancescript", default="", help="Reissuance: multisig script (hex) that holds the tokens."),
        option(
            "--reissuanceprivkey",
            default="",
            help="Reissuance: this member's key (WIF or hex); better by FEDSM_REISSUANCEPRIVKEY, or a file.",
        ),
        option(
            "--on-reissue-failure",
            type=click.Choice(["continue", "halt"]),
            default="continue",
            show_default=True,
            help="What a reissuance that fails does to the daemon; the old one halted.",
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def schedule_of(ctx: click.Context, given: dict[str, Any], interval_ms: int) -> ReissueConfig:
    """The schedule, for commands that are about it. FedsmError when there is none or it is wrong."""
    if not is_wanted(given):
        raise FedsmError("there is no reissuance schedule: --inflationrate is 0")
    try:
        return configure_reissue(given, ctx.meta.get(REISSUANCE), interval_ms)
    except ReissueError as error:
        raise FedsmError(str(error)) from None


def reissue_of(ctx: click.Context, given: dict[str, Any], interval_ms: int) -> ReissueConfig | None:
    """The schedule, if there is one. What is wrong with it is said, and blocks are signed all the same."""
    if not is_wanted(given):
        return None
    try:
        return configure_reissue(given, ctx.meta.get(REISSUANCE), interval_ms)
    except ReissueError as error:
        if given["on_reissue_failure"] == "halt":
            raise FedsmError(str(error)) from None
        get_logger().error("reissuance_off", detail=str(error))
        return None
