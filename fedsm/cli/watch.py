"""fedsm watch: a federation as it works, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from fedsm.cli.options import option
from fedsm.cli.status_view import view
from fedsm.errors import FedsmError
from fedsm.federation_file import FederationFile, load
from fedsm.log import configure
from fedsm.observe.status import Status
from fedsm.spectating import Subject, listening
from fedsm.web.client import address_of, fetch_status
from fedsm.web.settings import load_token
from states.quorum import Quorum, default_vote_quorum

REFRESH_S = 0.5


class Source:
    """What is shown: the present statuses, and for those that there are not, why."""

    def look(self) -> Iterator[Status | str]:
        """Statuses, or lines that say why there is none."""
        raise NotImplementedError


class Daemons(Source):
    """Running daemons, asked over HTTP."""

    def __init__(self, addresses: tuple[str, ...], token: str | None) -> None:
        self._addresses = [address_of(address, token, None) for address in addresses]

    def look(self) -> Iterator[Status | str]:
        """Ask each of them."""
        for address in self._addresses:
            try:
                yield fetch_status(address)
            except FedsmError as error:
                yield str(error)


@click.command()
@click.argument("daemons", metavar="[HOST:PORT]...", nargs=-1)
@click.option(
    "--federation",
    type=click.Path(path_type=Path),
    help="Federation file: listen to the members themselves. Needs no key, but links without CURVE keys.",
)
@option("--http-token-file", type=click.Path(path_type=Path), help="The token's file, if the daemons ask for one.")
@click.option("--json", "as_json", is_flag=True, help="A status document on each line, whenever one changes.")
def watch(daemons: tuple[str, ...], federation: Path | None, http_token_file: Path | None, as_json: bool) -> None:
    """Follow running daemons (by default the one on 127.0.0.1:7150), or all members of a federation file.

    Needs no key. Ends at Ctrl-C.
    """
    configure(level="error")  # what a link does is on the screen
    if federation is not None and daemons:
        raise FedsmError("give daemons or --federation, not both")
    with _source(daemons, federation, http_token_file) as source:
        try:
            _print_lines(source) if as_json else _show(source)
        except KeyboardInterrupt:
            return


@contextmanager
def _source(daemons: tuple[str, ...], federation: Path | None, token_file: Path | None) -> Iterator[Source]:
    if federation is None:
        yield Daemons(daemons or ("127.0.0.1:7150",), load_token(token_file))
        return
    file = load(federation)
    with listening(subject_of(file)) as (spectator, observer):

        class Members(Source):
            def look(self) -> Iterator[Status | str]:
                yield spectator.status(file.chain, observer.status())

        yield Members()


def subject_of(file: FederationFile) -> Subject:
    """Whom a federation file names. FedsmError when nobody without a pinned key can listen to them."""
    if file.nodes is None:
        raise FedsmError("the federation file has no addresses to listen to")
    if file.curve_keys:
        raise FedsmError(
            "the links of this federation are encrypted, and only its members may listen: watch daemons instead, "
            "by the HOST:PORT where they serve their status"
        )
    multisig = file.multisig
    votes = file.quorum or default_vote_quorum(multisig.n, multisig.m)
    return Subject(
        file.chain,
        multisig.public_keys,
        Quorum(multisig.n, multisig.m, votes),
        file.nodes,
        round(file.interval * 1000),
        file.digest,
        file.identities,
    )


def _show(source: Source) -> None:
    console = Console(highlight=False, markup=False)
    with Live(_picture(source), console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            time.sleep(REFRESH_S)
            live.update(_picture(source), refresh=True)


def _picture(source: Source) -> RenderableType:
    parts: list[RenderableType] = []
    for found in source.look():
        parts += [Text(found, "bold red") if isinstance(found, str) else view(found), ""]
    return Group(*parts)


def _print_lines(source: Source) -> None:
    """A line for each member whose height, round, state or peers changed."""
    last: dict[int, object] = {}
    while True:
        for position, found in enumerate(source.look()):
            essence = found if isinstance(found, str) else _essence(found)
            if last.get(position) != essence:
                last[position] = essence
                line = {"error": found} if isinstance(found, str) else found
                sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
                sys.stdout.flush()
        time.sleep(REFRESH_S)


def _essence(status: Status) -> object:
    """What makes a status worth a new line: not the passing of time."""
    peers = [(peer.up, peer.state, peer.height, peer.signed, peer.troubles) for peer in status.peers]
    return (status.ready, status.state, status.height, status.round, peers, status.blocks)
