"""fedsm guard: look at, back up and restore what keeps a key from signing twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fedsm.cli.options import option
from fedsm.config import DEFAULT_DATA_DIRECTORY, GUARD_FILE, guard_path
from fedsm.errors import FedsmError
from signers.guard import Guard, GuardError
from signers.guard_rules import check_hash

_path = click.argument("path", type=click.Path(dir_okay=False, path_type=Path), required=False)
_datadir = option(
    "--datadir", type=click.Path(path_type=Path), default=DEFAULT_DATA_DIRECTORY, show_default=True,
    help="Where to look for the guard when no PATH is given.",
)  # fmt: skip


@click.group()
def guard() -> None:
    """The guard remembers what a key has voted and signed. Its daemon must be stopped for these commands."""


@guard.command()
@_path
@_datadir
def show(path: Path | None, datadir: Path) -> None:
    """Print whose guard it is and what it holds."""
    content = _export(_find(path, datadir))
    click.echo(f"chain       {content['chain']}")
    click.echo(f"key         {content['public_key']}")
    mark = content["mark"]
    click.echo(f"mark        {'none' if mark is None else f'{mark} (heights up to here are closed)'}")
    for vote in content["votes"]:
        click.echo(f"vote        height {vote['height']} round {vote['round']} {vote['kind']} {vote['block_hash']}")
    for lock in content["locks"]:
        click.echo(f"lock        height {lock['height']} round {lock['proof']['round']} {lock['block_hash']}")
    for decision in content["decisions"][-3:]:
        click.echo(f"decided     height {decision['height']} {decision['block_hash']}")
    for signature in content["signatures"][-3:]:
        click.echo(f"signed      height {signature['height']} {signature['block_hash']}")
    for draft in content["drafts"][-3:]:
        click.echo(f"reissuance  height {draft['due_height']} asset {draft['asset']} draft {draft['draft_id']}")
    click.echo(f"signatures  {len(content['signatures'])} kept")


@guard.command("export")
@_path
@_datadir
def export_(path: Path | None, datadir: Path) -> None:
    """Print everything the guard holds as JSON, for a backup or a move to another machine."""
    json.dump(_export(_find(path, datadir)), sys.stdout)
    click.echo()


@guard.command("import")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_path
@_datadir
def import_(source: Path, path: Path | None, datadir: Path) -> None:
    """Add the export SOURCE to a guard (made if there is none). Marks are never lowered; conflicts refused."""
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
        chain, key = str(content["chain"]), bytes.fromhex(content["public_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedsmError(f"{source} is not a guard export: {error}") from None
    try:
        check_hash(chain)  # before it becomes part of a path
        target = path or guard_path(datadir, chain, key)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Guard.open(target, chain, key) as opened:
            opened.import_(content)
    except (GuardError, OSError) as error:
        raise FedsmError(f"nothing was imported: {error}") from None
    click.echo(f"imported into {target}")


def _find(path: Path | None, datadir: Path) -> Path:
    """The guard file meant: the one named, or the only one below the data directory."""
    if path is not None:
        return path
    found = sorted(datadir.expanduser().glob(f"*/*/{GUARD_FILE}"))
    if len(found) != 1:
        listed = ", ".join(map(str, found)) if found else "none"
        raise FedsmError(f"name the guard file: below {datadir} there is {listed}")
    return found[0]


def _export(path: Path) -> dict[str, Any]:
    try:
        with Guard.open_existing(path) as opened:
            return opened.export()
    except GuardError as error:
        raise FedsmError(str(error)) from None
