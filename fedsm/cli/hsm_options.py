"""Options that say where a key is in an HSM, shared by ``fedsm run`` and ``fedsm hsm``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fedsm.cli.options import option
from fedsm.hsm import HsmAccess, HsmSettings

_TYPED_PIN = "fedsm.typed_pin"

F = TypeVar("F", bound=Callable[..., Any])


def hsm_options(function: F) -> F:
    """The options, in the order in which help shows them."""
    decorators = (
        option("--pkcs11-uri", help="Where the key is, as a PKCS#11 URI (RFC 7512)."),
        option("--pkcs11-module", help="File of the PKCS#11 module."),
        option("--pkcs11-token", help="Label of the token."),
        option("--pkcs11-serial", help="Serial of the token."),
        option("--pkcs11-key", help="Label of the key."),
        option("--pkcs11-key-id", help="Id of the key (hex)."),
        option(
            "--pin-file",
            type=click.Path(path_type=Path),
            help="File with the token's PIN.  [default: FEDSM_PIN, systemd credential fedsm-pin, or asked for]",
        ),
        option("--allow-extractable", is_flag=True, help="Take a key that could leave the token."),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def hsm_settings(given: dict[str, Any]) -> HsmSettings:
    """The values of ``hsm_options``."""
    return HsmSettings(
        uri=given["pkcs11_uri"],
        module=given["pkcs11_module"],
        token=given["pkcs11_token"],
        serial=given["pkcs11_serial"],
        key=given["pkcs11_key"],
        key_id=given["pkcs11_key_id"],
        pin_file=given["pin_file"],
        allow_extractable=given["allow_extractable"],
    )


def hsm_access(given: dict[str, Any]) -> HsmAccess:
    """The key's place and PIN; the PIN is asked for on a terminal, once, if it stands nowhere."""
    return hsm_settings(given).access(prompt=_ask_once if sys.stdin.isatty() else None)


def _ask_once() -> str:
    """The PIN as typed, remembered for when a running daemon reads its configuration again."""
    meta = click.get_current_context().meta
    if _TYPED_PIN not in meta:
        meta[_TYPED_PIN] = ask_pin()
    return str(meta[_TYPED_PIN])


def ask_pin(whose: str = "PIN of the token", *, confirm: bool = False) -> str:
    """A PIN from the terminal, not shown; empty for a token with a keypad of its own."""
    return str(
        click.prompt(whose, hide_input=True, default="", show_default=False, err=True, confirmation_prompt=confirm)
    )
