"""fedsm trace: make something of a trace."""

from __future__ import annotations

import re
from pathlib import Path

import click

from fedsm.errors import FedsmError
from fedsm.trace.regression import SUFFIX, scenario_of

SCENARIOS = Path("tests/scenarios")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@click.group()
def trace() -> None:
    """Work with traces; see also fedsm replay and fedsm explain."""


@trace.command("to-test")
@click.argument("trace", type=click.Path(path_type=Path))
@click.option("--height", type=click.IntRange(1), required=True, help="The height to take.")
@click.option("--name", help="Name of the scenario.  [default: from height and member]")
@click.option(
    "--directory", type=click.Path(path_type=Path), default=SCENARIOS, show_default=True, help="Where to write it."
)
def to_test(trace: Path, height: int, name: str | None, directory: Path) -> None:
    """Make a regression scenario of one height of TRACE, a trace's file or folder.

    The tests replay it from then on, and fail when the machines do something else.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise FedsmError(f"--name {name}: a name is made of letters, digits, '.', '_', '-'")
    if not directory.is_dir():
        raise FedsmError(f"there is no folder {directory}: run this in the source tree, or give --directory")
    scenario = scenario_of(trace, height)
    path = directory / f"{name or f'height-{height}-member-{scenario.member}'}{SUFFIX}"
    try:
        with path.open("xb") as file:
            file.write(scenario.text)
    except FileExistsError:
        raise FedsmError(f"{path} exists: give another --name") from None
    except OSError as error:
        raise FedsmError(f"{path}: {error.strerror}") from None
    click.echo(f"wrote {path}: {scenario.steps} steps")
    if scenario.deviation is not None:
        click.echo(f"other effects than recorded, first on {scenario.deviation}: it depends on earlier heights")
