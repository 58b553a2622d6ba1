"""fedsm hsm: look into an HSM, make a member's key in it, check that it can sign."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from fedsm.cli.hsm_options import ask_pin, hsm_access, hsm_options, hsm_settings
from fedsm.cli.multisig import multisig
from fedsm.cli.options import option
from fedsm.errors import FedsmError, PinRefusedError
from fedsm.hsm import HsmAccess, hsm_error
from fedsm.hsm_check import Check
from fedsm.hsm_check import check as run_checks
from fedsm.hsm_inventory import inventory
from signers.base import SignerError
from signers.pin import find_pin
from signers.pkcs11_key import find_key
from signers.pkcs11_login import log_in
from signers.pkcs11_maker import find_or_make_token, make_key
from signers.pkcs11_module import Module

SO_PIN_VARIABLE = "FEDSM_SO_PIN"
SO_CREDENTIAL = "fedsm-so-pin"


@click.group()
def hsm() -> None:
    """Keys in an HSM (PKCS#11): where the key is and the PIN are told as to the daemon."""


@hsm.command("list")
@hsm_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def list_(*, as_json: bool, **given: Any) -> None:
    """Show a module's tokens, what they can do, and the keys of the token that is named if there is a PIN."""
    access = hsm_settings(given).access()
    with _in_words():
        content = inventory(access.place, access.pin)
    if as_json:
        click.echo(json.dumps(content))
        return
    click.echo(f"module {content['module']}: {content['description']}")
    for token in content["tokens"]:
        _show_token(token)


@hsm.command()
@hsm_options
@click.option("--so-pin-file", type=click.Path(path_type=Path), help="File with the PIN of the security officer.")
def init(*, so_pin_file: Path | None, **given: Any) -> None:
    """Make a key in a token, and the token too where the module has an empty one; print the public key.

    Nothing that is there is overwritten. The key can never leave the token. A new token gets the PIN, and a PIN for
    the security officer, who can set a forgotten PIN anew: --so-pin-file, FEDSM_SO_PIN, or asked for.
    """
    access = _access_for_init(given)
    pin = access.pin
    if pin is None:
        raise FedsmError("the token needs a PIN: give --pin-file or the variable FEDSM_PIN")

    with _in_words(), closing(Module(access.place.module)) as module:
        token, made = find_or_make_token(module, access.place, pin, lambda: _so_pin(so_pin_file))
        click.echo(f"{'made' if made else 'using'} {token}", err=True)
        click.echo(make_key(module, token, pin, access.place).hex())


@hsm.command()
@hsm_options
def pubkey(**given: Any) -> None:
    """Print the public key (hex) of the key."""
    access = hsm_access(given)

    with _in_words(), closing(Module(access.place.module)) as module:
        token = module.find(access.place)
        key = find_key(log_in(module, token, access.pin), access.place, str(token))
        click.echo(key.public_key().hex())


@hsm.command()
@hsm_options
@option("--blocktime", type=float, default=60.0, show_default=True, help="Block interval in seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(*, blocktime: float, as_json: bool, **given: Any) -> None:
    """Try everything that the daemon needs of the HSM, and sign twenty times; status 1 if something fails."""
    rows = run_checks(hsm_access(given), blocktime)
    if as_json:
        click.echo(json.dumps({row.name: {"ok": row.ok, "detail": row.detail} for row in rows}))
    else:
        for row in rows:
            click.echo(_row(row))
    failed = [row for row in rows if row.ok is False]
    if failed:
        kind = PinRefusedError if failed[0].pin_refused else FedsmError
        raise kind(f"the HSM is not fit for fedsm: {', '.join(row.name for row in failed)}")


hsm.add_command(multisig)


def _access_for_init(given: dict[str, Any]) -> HsmAccess:
    settings = hsm_settings(given)
    prompt = (lambda: ask_pin(confirm=True)) if sys.stdin.isatty() else None
    return settings.access(prompt=prompt)


def _so_pin(file: Path | None) -> str:
    prompt = (lambda: ask_pin("PIN of the security officer", confirm=True)) if sys.stdin.isatty() else None
    variables, credential = (SO_PIN_VARIABLE,), SO_CREDENTIAL
    pin = find_pin(file, os.environ, prompt=prompt, variables=variables, credential=credential)
    if pin is None:
        raise SignerError(
            "misconfigured",
            f"a new token needs a PIN for its security officer: give --so-pin-file or {SO_PIN_VARIABLE}",
        )
    return pin


@contextmanager
def _in_words() -> Iterator[None]:
    """What an HSM refuses ends the command in one line."""
    try:
        yield
    except SignerError as error:
        raise hsm_error(error) from None


def _show_token(token: dict[str, Any]) -> None:
    state = f'"{token["label"]}"' if token["initialised"] else "empty, can be made by fedsm hsm init"
    click.echo(f"token {state}")
    click.echo(
        f"  serial {token['serial'] or 'none'}, slot {token['slot']}, {token['manufacturer']}, {token['model']}"
    )
    for name, uses in token["mechanisms"].items():
        click.echo(f"  {name}: {'not there' if uses is None else ', '.join(uses) or 'no use told'}")
    if token["keys"] is None:
        if token["initialised"]:
            click.echo("  keys: shown if this token is named and its PIN given")
        return
    for key in token["keys"]:
        click.echo(f'  key "{key["label"]}", id {key["id"] or "none"}: {key["fault"] or key["public_key"]}')
    if not token["keys"]:
        click.echo("  no keys")


def _row(row: Check) -> str:
    verdict = {True: "ok", False: "FAILED", None: "-"}[row.ok]
    return f"{row.name:<20} {verdict:<7} {row.detail}".rstrip()
