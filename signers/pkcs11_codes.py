"""PKCS#11's return values in the operator's words, and which of them speak of the PIN."""

from __future__ import annotations

from typing import Any

import PyKCS11

from signers.base import PinError, SignerError

_PIN_REFUSED = {
    PyKCS11.CKR_PIN_INCORRECT: "the PIN is wrong",
    PyKCS11.CKR_PIN_INVALID: "the PIN has characters that the token does not take",
    PyKCS11.CKR_PIN_LEN_RANGE: "the PIN is wrong: too short or too long",
    PyKCS11.CKR_PIN_EXPIRED: "the PIN has expired: set a new one with the token's own tool",
    PyKCS11.CKR_PIN_LOCKED: "the PIN is locked: unlock it with the token's own tool",
    PyKCS11.CKR_USER_PIN_NOT_INITIALIZED: "no user PIN was ever set: set one with the token's own tool",
}
# Of no use to try again, whatever the token does.
_MISCONFIGURED = {
    PyKCS11.CKR_KEY_FUNCTION_NOT_PERMITTED: "the key may not sign (CKA_SIGN)",
    PyKCS11.CKR_KEY_TYPE_INCONSISTENT: "the key is not for this mechanism",
    PyKCS11.CKR_MECHANISM_INVALID: "the mechanism is not offered",
}


def explain(doing: str, error: PyKCS11.PyKCS11Error) -> SignerError:
    """The error of a failed call. ``doing`` says what was tried, with its object: ``log in to token "x"``."""
    code = int(error.value)
    said = " ".join(str(error).split())
    if code in _PIN_REFUSED:
        return PinError(f"{doing}: {_PIN_REFUSED[code]} ({said}); it is not tried again")
    if code in _MISCONFIGURED:
        return SignerError("misconfigured", f"{doing}: {_MISCONFIGURED[code]} ({said})")
    return SignerError("unavailable", f"{doing}: {said}")


def is_code(error: PyKCS11.PyKCS11Error, *codes: Any) -> bool:
    """Whether a failed call gave one of these return values."""
    return error.value in codes
