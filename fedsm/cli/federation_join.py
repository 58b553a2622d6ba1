"""fedsm federation join: a member checks the file that all share, and is ready to run."""

from __future__ import annotations

from pathlib import Path

import click

from fedsm.ceremony.joining import join as join_federation
from fedsm.ceremony.member_directory import MemberDirectory
from states.quorum import Quorum, default_vote_quorum


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--member",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default=True,
    help="The member's directory, made by fedsm init.",
)
@click.option("--digest", help="What was read aloud; another file is refused.")
def join(file: Path, directory: Path, digest: str | None) -> None:
    """Check that our keys are in the federation FILE, and make our directory ready to run with it.

    May be repeated. Refuses a file of another federation than the one that was joined before.
    """
    home = MemberDirectory(directory)
    joined = join_federation(file, home, digest)
    shared, multisig = joined.file, joined.file.multisig
    votes = shared.quorum or default_vote_quorum(multisig.n, multisig.m)
    quorum = Quorum(multisig.n, multisig.m, votes)
    click.echo(f"member {joined.member} of a {multisig.m}-of-{multisig.n} federation on chain {shared.chain}")
    click.echo(f"blocks go on with up to {quorum.crash_tolerance} members down")
    click.echo(f"digest: {shared.spoken} (the same at all members?)")
    if joined.node_file is not None:
        click.echo(f"node:   elementsd -conf={joined.node_file} (add ports and the others' nodes to that file)")
    click.echo(f"daemon: fedsm --config {home.configuration}")
