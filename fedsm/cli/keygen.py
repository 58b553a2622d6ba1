"""fedsm keygen: a new block-signing key."""

from __future__ import annotations

from pathlib import Path

import click

from fedsm.errors import FedsmError
from signers.base import SignerError
from signers.software import SoftwareSigner, generate_key, write_key_file

WIF_PREFIX = 239


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--wif-prefix",
    type=click.IntRange(0, 255),
    default=WIF_PREFIX,
    show_default=True,
    help="Version byte of the key's WIF form (239: test chains, 180: Ocean main chain).",
)
def keygen(path: Path, wif_prefix: int) -> None:
    """Make a block-signing key, write it to the new file PATH (mode 600) and print its public key."""
    secret = generate_key()
    try:
        write_key_file(path, secret, wif_prefix)
    except SignerError as error:
        raise FedsmError(str(error)) from None
    click.echo(SoftwareSigner(secret).public_key.hex())
