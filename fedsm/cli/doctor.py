"""fedsm doctor: what would keep this member from its part, found before it does."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.text import Text

from fedsm.cli.run import configuration, run
from fedsm.doctor import examine
from fedsm.log import configure


def _doctor(ctx: click.Context, /, *, as_json: bool, **given: Any) -> None:
    configure(given["log_format"], "error")
    checks = list(examine(configuration(ctx, given)))
    if as_json:
        click.echo(msgspec.json.encode(checks))
    else:
        console = Console(highlight=False, markup=False)
        for check in checks:
            line = Text("ok   " if check.ok else "FAIL ", "green" if check.ok else "bold red")
            console.print(line.append(f"{check.name}: {check.detail}", ""), soft_wrap=True)
    if not all(check.ok for check in checks):
        sys.exit(1)


doctor = click.Command(
    "doctor",
    callback=click.pass_context(_doctor),
    params=[*run.params, click.Option(["--json", "as_json"], is_flag=True, help="A list of name, ok, detail.")],
    help="Check everything that a daemon with these options needs, while it runs or before it is started.\n\n"
    "Takes the options of fedsm run; best as fedsm doctor --config fedsm.toml. Each check is ok or says what "
    "to do. Exit status 0 when all are ok, else 1.",
    short_help="Check everything that a daemon needs.",
)
