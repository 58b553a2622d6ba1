"""fedsm keygen: a new block-signing or reissuance key, or a CURVE key for encrypted links."""

from __future__ import annotations

from pathlib import Path

import click

from fedsm.errors import FedsmError
from signers.base import SignerError
from signers.software import SoftwareSigner, generate_key, write_key_file
from transports import curve
from transports.base import TransportError

WIF_PREFIX = 239


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--transport", is_flag=True, help="Make a CURVE key for ZeroMQ links instead.")
@click.option("--reissuance", is_flag=True, help="Make a key for the reissuance script instead.")
@click.option(
    "--wif-prefix",
    type=click.IntRange(0, 255),
    default=WIF_PREFIX,
    show_default=True,
    help="Version byte of the key's WIF form (239: test chains, 180: Ocean main chain).",
)
def keygen(path: Path, transport: bool, reissuance: bool, wif_prefix: int) -> None:
    """Make a block-signing key, write it to the new file PATH (mode 600) and print its public key.

    A key for reissuance is of the same form: it goes to key-file in [reissuance], and its public key into the
    script that fedsm multisig makes.
    """
    if transport and reissuance:
        raise FedsmError("--transport and --reissuance exclude each other: make two keys")
    try:
        public_key = _transport_key(path) if transport else _signing_key(path, wif_prefix)
    except (SignerError, TransportError) as error:
        raise FedsmError(str(error)) from None
    click.echo(public_key)


def _signing_key(path: Path, wif_prefix: int) -> str:
    secret = generate_key()
    write_key_file(path, secret, wif_prefix)
    return SoftwareSigner(secret).public_key.hex()


def _transport_key(path: Path) -> str:
    pair = curve.make_pair()
    curve.write_key_file(path, pair)
    return pair.public_text
