"""fedsm replay: whether the machines do again what a trace says they did."""

from __future__ import annotations

import re
from pathlib import Path

import click

from fedsm.errors import FedsmError
from fedsm.replay import replay as replay_trace
from fedsm.replay import replay_until
from fedsm.replay.view import view

_LINE = re.compile(r"(?:(\d+):)?(\d+)")


@click.command()
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--until", metavar="[FILE:]LINE", help="Print the state of the machines after this line.")
def replay(trace: Path, until: str | None) -> None:
    """Replay TRACE, a trace's file or folder, and compare every state and effect.

    Ends with status 0 and one line if all is identical, otherwise with status 1 and the first difference.
    """
    if until is None:
        click.echo(str(replay_trace(trace)))
        return
    match = _LINE.fullmatch(until)
    if match is None:
        raise FedsmError(f"--until {until}: give a line, or a file of the trace and a line as in 2:17")
    place, core = replay_until(trace, int(match[2]), None if match[1] is None else int(match[1]))
    click.echo(f"after {place}:")
    for line in view(core):
        click.echo(f"  {line}")
