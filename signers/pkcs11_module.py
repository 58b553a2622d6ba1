"""A PKCS#11 module and its tokens. For one thread; loaded once in a process."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import PyKCS11

from signers.base import SignerError
from signers.pkcs11_codes import explain, is_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signers.pkcs11_place import KeyPlace

_LISTED = 8


@dataclass(frozen=True)
class Token:
    """A token as its module describes it. ``flags`` are the CKF_ bits of CK_TOKEN_INFO."""

    slot: int
    label: str
    serial: str
    manufacturer: str
    model: str
    flags: int

    def __str__(self) -> str:
        return f'token "{self.label}" (serial {self.serial or "none"}, slot {self.slot})'

    def has(self, flag: int) -> bool:
        """Whether one CKF_ bit is set."""
        return bool(self.flags & flag)

    def fits(self, place: KeyPlace) -> bool:
        """Whether it is what ``place`` says of the token."""
        return all(
            getattr(place, wanted) in (None, getattr(self, wanted if wanted != "token" else "label"))
            for wanted in ("token", "serial", "manufacturer", "model", "slot")
        )


@dataclass(frozen=True)
class Mechanism:
    """What a token says of one mechanism: key sizes in bits as the module counts them, CKF_ bits."""

    name: str
    least: int
    most: int
    flags: int


class Module:
    """A loaded module. Raises SignerError ``misconfigured`` if it is none or does not start."""

    def __init__(self, path: str) -> None:
        self.library = _load(path)
        self.path = path
        self.lib = PyKCS11.PyKCS11Lib()
        try:
            self.lib.load(path)
        except PyKCS11.PyKCS11Error as error:
            raise SignerError("misconfigured", f"PKCS#11 module {path} does not start: {error}") from None

    def description(self) -> str:
        """Who made it and which version, in its own words."""
        try:
            info = self.lib.getInfo()
        except PyKCS11.PyKCS11Error as error:
            raise explain(f"ask module {self.path} who it is", error) from None
        major, minor = info.libraryVersion
        maker, what = _clean(info.manufacturerID), _clean(info.libraryDescription)
        return f"{maker}, {what} {major}.{minor}"

    def tokens(self) -> list[Token]:
        """The tokens that are in their slots, initialised or not."""
        try:
            slots = self.lib.getSlotList(tokenPresent=True)
        except PyKCS11.PyKCS11Error as error:
            raise explain(f"look for tokens of module {self.path}", error) from None
        found = []
        for slot in slots:
            # One that is pulled out meanwhile, or that the module does not know, is none for us.
            with suppress(PyKCS11.PyKCS11Error):
                found.append(_token(slot, self.lib.getTokenInfo(slot)))
        return found

    def find(self, place: KeyPlace) -> Token:
        """The one initialised token that ``place`` means. SignerError ``misconfigured`` if none or several fit."""
        there = [token for token in self.tokens() if token.has(PyKCS11.CKF_TOKEN_INITIALIZED)]
        fitting = [token for token in there if token.fits(place)]
        if len(fitting) == 1:
            return fitting[0]
        where = f"module {self.path}"
        if not fitting:
            raise SignerError("misconfigured", f"no {place.token_words} in {where}; it has {listed(there)}")
        raise SignerError(
            "misconfigured",
            f"{place.token_words} is not one but {len(fitting)} in {where}: {listed(fitting)}; "
            "name its serial too (--pkcs11-serial)",
        )

    def mechanism(self, token: Token, name: str) -> Mechanism | None:
        """What a token says of a mechanism (``CKM_ECDSA``); None if it has it not."""
        try:
            info = self.lib.getMechanismInfo(token.slot, name)
        except PyKCS11.PyKCS11Error as error:
            if is_code(error, PyKCS11.CKR_MECHANISM_INVALID):
                return None
            raise explain(f"ask {token} for {name}", error) from None
        return Mechanism(name, int(info.ulMinKeySize), int(info.ulMaxKeySize), int(info.flags))

    def close(self) -> None:
        """Let go of the module."""
        with suppress(PyKCS11.PyKCS11Error):
            self.lib.unload()


def listed(things: Sequence[object]) -> str:
    """Things in a row for an error line, "none" if there are none, and not more than an eye can take in."""
    shown = ", ".join(str(thing) for thing in things[:_LISTED]) or "none"
    return shown if len(things) <= _LISTED else f"{shown} and {len(things) - _LISTED} more"


def _token(slot: int, info: Any) -> Token:
    return Token(
        slot=int(slot),
        label=_clean(info.label),
        serial=_clean(info.serialNumber),
        manufacturer=_clean(info.manufacturerID),
        model=_clean(info.model),
        flags=int(info.flags),
    )


def _clean(text: object) -> str:
    """A field without its padding: spaces (PKCS #11), with some modules zero bytes."""
    return str(text).replace("\x00", " ").strip()


def _load(path: str) -> ctypes.CDLL:
    """The library. What is wrong with a file is said here, for PyKCS11 writes its reasons to standard output.

    The library stays loaded: not all modules survive being unloaded and loaded again.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        said = " ".join(str(error).split())
        raise SignerError("misconfigured", f"PKCS#11 module {path} cannot be loaded: {said}") from None
    if not hasattr(library, "C_GetFunctionList"):
        raise SignerError("misconfigured", f"{path} is not a PKCS#11 module: it has no C_GetFunctionList")
    return library
