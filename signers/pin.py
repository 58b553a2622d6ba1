"""Where a token's PIN comes from. It never comes from a command line, which everybody on the machine can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from signers.base import SignerError
from signers.private_file import read_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PIN_VARIABLE = "FEDSM_PIN"
OLD_PIN_VARIABLE = "USER_PIN"  # of the daemon before fedsm
CREDENTIAL = "fedsm-pin"


def find_pin(
    file: Path | None,
    environ: Mapping[str, str] = os.environ,
    *,
    prompt: Callable[[], str] | None = None,
    variables: tuple[str, ...] = (PIN_VARIABLE, OLD_PIN_VARIABLE),
    credential: str = CREDENTIAL,
) -> str | None:
    """The PIN from the first of these that there is: file, variables, systemd credential, prompt; else None.

    Raises SignerError ``misconfigured`` if that one is empty or unreadable; the message does not show it.
    """
    if file is not None:
        return _pin_in(file, "PIN file")
    for variable in variables:
        if variable in environ:
            return _checked(environ[variable], f"variable {variable}")
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (path := Path(directory, credential)).exists():
        return _pin_in(path, "credential")
    return prompt() or None if prompt is not None else None


def _pin_in(path: Path, what: str) -> str:
    try:
        text = read_private(path, what, shared=True).decode("utf-8")
    except UnicodeDecodeError:
        raise SignerError("misconfigured", f"{what} {path} is not UTF-8 text") from None
    return _checked(text.rstrip("\r\n"), f"{what} {path}")


def _checked(pin: str, source: str) -> str:
    if not pin:
        raise SignerError("misconfigured", f"{source} is empty")
    if "\n" in pin or "\x00" in pin:
        raise SignerError("misconfigured", f"{source} holds more than one line")
    return pin
