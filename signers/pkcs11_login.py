"""Logging in to a token, and when that is better left alone. For one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import PyKCS11

from signers.base import PinError, SignerError
from signers.pkcs11_codes import explain, is_code

if TYPE_CHECKING:
    from signers.pkcs11_module import Module, Token


def log_in(module: Module, token: Token, pin: str | None, *, write: bool = False) -> PyKCS11.Session:
    """A session on a token, logged in if the token asks for that.

    Raises PinError when the PIN is refused or one more wrong one would lock the token (then it is not tried), else
    SignerError.
    """
    try:
        session = module.lib.openSession(token.slot, PyKCS11.CKF_RW_SESSION if write else 0)
    except PyKCS11.PyKCS11Error as error:
        raise explain(f"open a session on {token}", error) from None
    if not token.has(PyKCS11.CKF_LOGIN_REQUIRED):
        return session
    if token.has(PyKCS11.CKF_USER_PIN_LOCKED):
        raise PinError(f"the PIN of {token} is locked: unlock it with the token's own tool")
    if token.has(PyKCS11.CKF_USER_PIN_FINAL_TRY):
        raise PinError(
            f"{token} is locked by one more wrong PIN, so this one is not tried: "
            "log in with the token's own tool first"
        )
    if not pin and not token.has(PyKCS11.CKF_PROTECTED_AUTHENTICATION_PATH):
        raise SignerError(
            "misconfigured",
            f"{token} asks for a PIN and there is none: give --pin-file, the variable FEDSM_PIN or the systemd "
            "credential fedsm-pin",
        )
    try:
        session.login(pin)
    except PyKCS11.PyKCS11Error as error:
        if not is_code(error, PyKCS11.CKR_USER_ALREADY_LOGGED_IN):
            raise explain(f"log in to {token}", error) from None
    return session
