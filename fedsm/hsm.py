"""What the daemon is told about its HSM, put together from flags, a PKCS#11 URI and the old daemon's variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fedsm.errors import FedsmError, PinRefusedError
from signers.base import PinError, SignerError
from signers.pin import find_pin
from signers.pkcs11_place import KeyPlace
from signers.pkcs11_uri import parse_uri

MODULE_VARIABLE = "PKCS11_LIB"
LABEL_VARIABLE = "KEY_LABEL"


@dataclass(frozen=True)
class HsmAccess:
    """A key in a token and what opens it."""

    place: KeyPlace
    pin: str | None = field(default=None, repr=False)
    allow_extractable: bool = False


@dataclass(frozen=True)
class HsmSettings:
    """The --pkcs11 options as given, before the old daemon's variables fill what is open."""

    uri: str | None = None
    module: str | None = None
    token: str | None = None
    serial: str | None = None
    key: str | None = None
    key_id: str | None = None
    pin_file: Path | None = None
    allow_extractable: bool = False

    @property
    def are_given(self) -> bool:
        """Whether they ask for an HSM without --hsm: they name a module or a URI."""
        return self.uri is not None or self.module is not None

    def place(self, environ: Mapping[str, str] = os.environ) -> tuple[KeyPlace, Path | None]:
        """Where the key is, and the PIN file if the URI names one. FedsmError names what is wrong or missing."""
        fields: dict[str, Any] = {}
        pin_file = None
        if self.uri is not None:
            try:
                fields, pin_file = parse_uri(self.uri)
            except ValueError as error:
                raise FedsmError(f"--pkcs11-uri: {error}") from None
        flags = {
            "module": ("--pkcs11-module", self.module),
            "token": ("--pkcs11-token", self.token),
            "serial": ("--pkcs11-serial", self.serial),
            "label": ("--pkcs11-key", self.key),
            "key_id": ("--pkcs11-key-id", self._key_id()),
        }
        for name, (flag, value) in flags.items():
            if value is not None and fields.setdefault(name, value) != value:
                raise FedsmError(f"{flag} contradicts --pkcs11-uri")
        fields.setdefault("module", environ.get(MODULE_VARIABLE))
        if not fields["module"]:
            raise FedsmError(
                f"no PKCS#11 module: name its file with --pkcs11-module, module-path in --pkcs11-uri, "
                f"or the variable {MODULE_VARIABLE}"
            )
        if "key_id" not in fields:
            fields.setdefault("label", environ.get(LABEL_VARIABLE))
        return msgspec.convert(fields, KeyPlace, str_keys=True), pin_file

    def access(
        self, environ: Mapping[str, str] = os.environ, *, prompt: Callable[[], str] | None = None
    ) -> HsmAccess:
        """The place and the PIN; ``prompt`` asks for the PIN if it is nowhere else. Raises FedsmError."""
        place, pin_file = self.place(environ)
        if pin_file is not None and self.pin_file not in (None, pin_file):
            raise FedsmError("--pin-file contradicts the pin-source in --pkcs11-uri")
        try:
            pin = find_pin(self.pin_file or pin_file, environ, prompt=prompt)
        except SignerError as error:
            raise hsm_error(error) from None
        return HsmAccess(place, pin, self.allow_extractable)

    def _key_id(self) -> bytes | None:
        if self.key_id is None:
            return None
        try:
            key_id = bytes.fromhex(self.key_id)
        except ValueError:
            key_id = b""
        if not key_id:
            raise FedsmError(f"--pkcs11-key-id {self.key_id} is not hex")
        return key_id


def hsm_error(error: SignerError) -> FedsmError:
    """The error that ends the program; a refused PIN has an exit status of its own."""
    return PinRefusedError(error.message) if isinstance(error, PinError) else FedsmError(error.message)
