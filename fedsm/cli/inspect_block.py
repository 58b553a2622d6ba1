"""fedsm inspect-block: what a block or header says, and whose signatures it carries."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from fedsm.chains.facts import facts_of
from fedsm.chains.header import BlockHeader, DecodeError, parse_block, parse_header
from fedsm.errors import FedsmError

SHOWN_LENGTH = 80


@click.command("inspect-block")
@click.argument("source", metavar="HEX|FILE|-")
@click.option(
    "--signblockscript", help="Multisig script (hex) of an unsigned dynafed block, which names its hash only."
)
def inspect_block(source: str, signblockscript: str | None) -> None:
    """Print a block or header, given as hex, as a file of hex or bytes, or on standard input (-), as JSON."""
    try:
        known_script = None if signblockscript is None else bytes.fromhex(signblockscript)
    except ValueError:
        raise FedsmError("--signblockscript is not hex") from None
    header, transactions = _parse(_read(source))
    facts = asdict(facts_of(header, transactions, known_script))
    hashes = facts.pop("ocean") or {}
    click.echo(json.dumps(facts | {f"{name}_hash": value for name, value in hashes.items()}, indent=2))


def _read(source: str) -> bytes:
    """The bytes behind the argument: hex itself, or a file or standard input holding hex or raw bytes."""
    if source == "-":
        return _unhex(sys.stdin.buffer.read())
    try:
        return bytes.fromhex(source)
    except ValueError:
        pass
    try:
        return _unhex(Path(source).read_bytes())
    except OSError as error:
        shown = source if len(source) <= SHOWN_LENGTH else source[:SHOWN_LENGTH] + "..."
        raise FedsmError(f"{shown}: neither hex nor a readable file ({error.strerror})") from None


def _unhex(content: bytes) -> bytes:
    try:
        return bytes.fromhex(content.decode("ascii"))
    except ValueError:
        return content


def _parse(data: bytes) -> tuple[BlockHeader, bytes]:
    """The header, and the transactions (with their count) if there are any."""
    try:
        header, end = parse_header(data)
    except DecodeError:
        end = -1
    if end == len(data):
        return header, b""
    try:
        block = parse_block(data)
    except DecodeError as error:
        raise FedsmError(f"not a block or header: {error}") from None
    return block.header, block.transactions
