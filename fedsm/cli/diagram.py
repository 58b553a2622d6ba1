"""fedsm diagram: the state machines as pictures, tables or data, drawn from the tables that run them."""

from __future__ import annotations

from pathlib import Path

import click

from fedsm.diagram import FORMATS, documents, draw
from fedsm.diagram.counting import overlays_of
from fedsm.errors import FedsmError
from states.table import TABLES


@click.command()
@click.argument("machine", required=False, type=click.Choice([table.name for table in TABLES]))
@click.option("--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="A trace's file or folder: how often each edge was taken, and the time in each state.",
)
@click.option(
    "--write",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files of docs/diagrams/ into this directory instead.",
)
def diagram(machine: str | None, form: str, trace: Path | None, directory: Path | None) -> None:
    """Print a state machine, or all of them: states, events, guards and actions.

    svg, dot and mermaid draw the same picture; table lists every row, and what is ignored and why; json is the
    table as data.
    """
    if directory is not None:
        _write(directory)
        return
    overlays = None if trace is None else overlays_of(trace)
    click.echo(draw([table for table in TABLES if machine in (None, table.name)], form, overlays), nl=False)


def _write(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in documents().items():
            (directory / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise FedsmError(f"{directory}: {error.strerror}") from None
