"""fedsm federation assemble: the file that all members share, out of their cards."""

from __future__ import annotations

from pathlib import Path

import click

from fedsm.ceremony.assembling import assemble as assemble_file
from fedsm.ceremony.card import read_card
from fedsm.ceremony.chain import elements_conf, params_of
from fedsm.ceremony.files import write_new
from fedsm.config import DEFAULT_INTERVAL_MS, DEFAULT_RPC_PORT
from fedsm.errors import FedsmError
from fedsm.federation_file import MOST_COINS, FederationFile, dump
from fedsm.pace import interval_of


@click.command()
@click.argument("cards", metavar="CARD...", nargs=-1, required=True)
@click.option("-m", "--threshold", type=click.IntRange(1), required=True, help="M, the signatures a block needs.")
@click.option("--chain", required=True, help="The chain's name, as it stands on the cards.")
@click.option("--quorum", type=click.IntRange(1), help="Votes that decide a block, Q.  [default: max(M, N//2 + 1)]")
@click.option(
    "--interval", type=float, default=DEFAULT_INTERVAL_MS / 1000, show_default=True, help="Block interval, seconds."
)
@click.option(
    "--initial-free-coins",
    type=click.IntRange(0, MOST_COINS),
    default=0,
    show_default=True,
    help="Satoshi that the new chain's genesis block gives to anyone.",
)
@click.option("--genesis", metavar="HASH", help="Genesis hash of a chain that exists; else a new one is made.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("federation.toml"),
    show_default=True,
    help="Where to write the file.",
)
def assemble(
    cards: tuple[str, ...],
    threshold: int,
    chain: str,
    quorum: int | None,
    interval: float,
    initial_free_coins: int,
    genesis: str | None,
    out: Path,
) -> None:
    """Make the federation file of the members with these CARDs (lines or files), in this order.

    Prints the block-signing script, what belongs into every node's configuration, and the digest that the members
    read to each other before they join.
    """
    try:
        interval_of(interval)
    except ValueError as error:
        raise FedsmError(f"--interval: {error}") from None
    file = assemble_file(
        [read_card(card) for card in cards],
        chain=chain,
        threshold=threshold,
        interval=interval,
        quorum=quorum,
        free_coins=initial_free_coins,
        genesis=genesis,
    )
    write_new(out, dump(file))
    _describe(file, out)


def _describe(file: FederationFile, out: Path) -> None:
    multisig = file.multisig
    click.echo(f"{out}: {multisig.m}-of-{multisig.n}, a block every {file.interval:g} s, genesis {file.chain}")
    click.echo(f"\nblock-signing script:\n{multisig.script.hex()}")
    if file.name is not None:
        click.echo("\nevery node's elements.conf (each member gets it by fedsm federation join):")
        click.echo(elements_conf(params_of(file), DEFAULT_RPC_PORT).split("\n\n")[0])
    else:
        click.echo(f"\nevery node's configuration has already:\nsignblockscript={multisig.script.hex()}")
    click.echo(f"\ndigest, to be read aloud: {file.spoken}")
