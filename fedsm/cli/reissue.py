"""fedsm reissue: what is due next and what it needs, and what was reissued so far."""

from __future__ import annotations

import copy
import csv
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import click
import msgspec

from fedsm.access import open_rpc
from fedsm.chains.base import ChainError
from fedsm.chains.node_chain import NodeChain
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.selection import open_chain
from fedsm.cli.options import node_access
from fedsm.cli.reissue_options import schedule_of
from fedsm.cli.run import interval_ms_of, run
from fedsm.errors import FedsmError
from fedsm.federation_file import load
from fedsm.log import configure
from fedsm.reissue.config import ReissueConfig
from fedsm.reissue.report import LedgerEntry, Plan, ledger_of, plan_of, units
from fedsm.reissue.setup import Schedule, open_schedule, reissue_signer
from fedsm.reissue.strategy import ReissueError

_COLUMNS = ("asset", "period", "height", "txid", "amount", "supply after", "rule", "difference")


@click.group()
def reissue() -> None:
    """Reissuance on a schedule: what is due, and what has been done. Nothing is signed or sent."""


def _command(name: str, function: Callable[..., None], text: str, *more: click.Parameter) -> None:
    """A subcommand with the options of fedsm run, none of which is required."""
    params = []
    for param in run.params:
        taken = copy.copy(param)
        taken.required = False
        params.append(taken)
    help_text = f"{text}\n\nTakes the options of fedsm run; best as fedsm reissue {name} --config fedsm.toml."
    callback = click.pass_context(function)
    reissue.add_command(click.Command(name, callback=callback, params=[*params, *more], help=help_text))


def _plan(ctx: click.Context, /, *, as_json: bool, **given: Any) -> None:
    with _schedule(ctx, given) as schedule:
        plan = plan_of(schedule)
        missing = list(plan.missing)
        if given["reissuanceprivkey"] or schedule.config.key_file or schedule.config.hsm:
            missing += _key_trouble(schedule.config)
    if as_json:
        click.echo(msgspec.json.encode(msgspec.structs.replace(plan, missing=tuple(missing))))
    else:
        _show_plan(plan, missing)
    if missing or not plan.is_complete:
        sys.exit(1)


def _key_trouble(config: ReissueConfig) -> list[str]:
    try:
        reissue_signer(config, None).close()
    except ReissueError as error:
        return [str(error)]
    return []


def _show_plan(plan: Plan, missing: list[str]) -> None:
    click.echo(f"chain         height {plan.height}")
    click.echo(f"next due      height {plan.due_height}, in {plan.due_height - plan.height} blocks")
    click.echo(f"tokens go to  {plan.token_address}")
    for planned in plan.assets:
        click.echo(f"\nasset         {planned.asset}")
        skipped = "" if planned.amount else " (rounds to nothing: skipped)"
        click.echo(f"amount        {units(planned.amount)}{skipped}")
        click.echo(f"because       {planned.why}")
        click.echo(f"token output  {planned.token or 'none'}")
        click.echo(f"fee coin      {planned.fee_coin or 'none'}")
        for text in planned.missing:
            click.echo(f"missing       {text}")
    for text in missing:
        click.echo(f"\nmissing       {text}")


def _ledger(ctx: click.Context, /, *, as_csv: bool, as_json: bool, **given: Any) -> None:
    with _schedule(ctx, given) as schedule:
        schedule.strategy.follow()
        book, inflation = schedule.strategy.book, schedule.config.inflation
        wanted = schedule.config.assets
        entries = [
            entry
            for known in book.assets()
            if (book.has_held(known.token) if wanted is None else known.asset[::-1].hex() in wanted)
            for entry in ledger_of(book, inflation, known.asset)
        ]
    if as_json:
        click.echo(msgspec.json.encode(entries))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(map(_row, entries))
    else:
        _show_ledger(entries)
    if any(entry.note for entry in entries):
        sys.exit(1)


def _row(entry: LedgerEntry) -> list[str]:
    amount = "" if entry.amount is None else units(entry.amount)
    height = "" if entry.height is None else str(entry.height)
    return [
        *(entry.asset, str(entry.period), height, entry.txid or "", amount),
        *(units(entry.supply), units(entry.rule), entry.note),
    ]


def _show_ledger(entries: list[LedgerEntry]) -> None:
    asset = ""
    for entry in entries:
        if entry.asset != asset:
            asset = entry.asset
            click.echo(f"asset {asset}")
            click.echo(f"{'period':>10} {'height':>10} {'amount':>20} {'supply after':>24}  transaction")
        amount = "-" if entry.amount is None else units(entry.amount)
        what = entry.txid or ""
        line = f"{entry.period:>10} {entry.height or '-':>10} {amount:>20} {units(entry.supply):>24}  {what}"
        click.echo(f"{line.rstrip()}{f'  DIFFERENCE: {entry.note}' if entry.note else ''}")
    differences = sum(bool(entry.note) for entry in entries)
    click.echo(f"{len(entries)} periods, {differences or 'no'} differences from the rule")


@contextmanager
def _schedule(ctx: click.Context, given: dict[str, Any]) -> Iterator[Schedule]:
    """The schedule on the node's chain; what is wrong with either ends in one line."""
    configure(given["log_format"], "error")
    file = None if given["federation"] is None else load(given["federation"])
    config = schedule_of(ctx, given, interval_ms_of(given["blocktime"], file))
    with closing(open_rpc(node_access(given))) as rpc:
        try:
            chain = open_chain(rpc, given["chain"])
            if not isinstance(chain, NodeChain):
                raise ReissueError("assets of this chain cannot be reissued")
            yield open_schedule(config, rpc, chain, chain.hash_at(0), None)
        except (ReissueError, ChainError, RpcError, RpcUnavailable, sqlite3.Error) as error:
            raise FedsmError(str(error)) from None


_command(
    "plan",
    _plan,
    "Print what is due when, for which asset, how much and why, which outputs are used, and what is missing.",
    click.Option(["--json", "as_json"], is_flag=True, help="One JSON object; amounts in satoshi."),
)
_command(
    "ledger",
    _ledger,
    "Print every period of every asset: what was reissued, and where that differs from the rule.",
    click.Option(["--csv", "as_csv"], is_flag=True, help="Comma-separated values."),
    click.Option(["--json", "as_json"], is_flag=True, help="A list of JSON objects; amounts in satoshi."),
)
