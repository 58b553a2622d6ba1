"""fedsm init: a new member's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fedsm.ceremony.member_directory import CARD_FILE, MemberDirectory
from fedsm.cli.options import node_options
from fedsm.config import DEFAULT_RPC_PORT


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--chain", required=True, help="The chain's name, as the nodes have it.")
@click.option("--address", required=True, metavar="HOST:PORT", help="Where the other members reach our daemon.")
@click.option("--name", help="What people call this member.  [default: the directory's name]")
@click.option("--public-key", metavar="HEX", help="Block-signing key that is held elsewhere (HSM, node wallet).")
@node_options
def init(directory: Path, chain: str, address: str, name: str | None, public_key: str | None, **node: Any) -> None:
    """Make a member's DIRECTORY: keys, card and the daemon's configuration.

    Prints the card, which is public, as one line for whoever assembles the federation. May be repeated: keys are
    never overwritten.
    """
    made = MemberDirectory(directory)
    card = made.make(
        chain=chain,
        name=name or made.path.name,
        address=address,
        public_key=public_key,
        node=_node_settings(node, chain),
    )
    click.echo(card.line)
    click.echo(f"The same as a file: {made.path / CARD_FILE}. It is public, the keys beside it are not.", err=True)


def _node_settings(node: dict[str, Any], chain: str) -> dict[str, object]:
    """Settings of fedsm.toml about the node: those that were given, and how to be let in."""
    settings: dict[str, object] = {"rpcconnect": node["rpcconnect"]}
    settings |= {"rpcport": node["rpcport"]} if node["rpcport"] != DEFAULT_RPC_PORT else {}
    if node["rpcuser"] is not None or node["rpcpassword"] is not None:
        names: tuple[str, ...] = ("rpcuser", "rpcpassword")
    else:
        node["rpccookiefile"] = node["rpccookiefile"] or Path("~/.elements").expanduser() / chain / ".cookie"
        names = ("rpccookiefile",)
    for name in (*names, "rpcwallet"):
        if node[name] is not None:
            value = node[name]
            settings[name] = str(value.absolute()) if isinstance(value, Path) else value
    return settings
