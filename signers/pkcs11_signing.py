"""Signing with a private key on a token: the mechanisms, and the calls. For one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import PyKCS11

from signers.base import SignerError
from signers.ecdsa import COMPACT_LENGTH
from signers.pkcs11_calls import SignCalls
from signers.pkcs11_codes import explain

if TYPE_CHECKING:
    from signers.pkcs11_module import Module, Token

MechanismName = Literal["CKM_ECDSA", "CKM_ECDSA_SHA256"]
# Best first: the other one hashes what it is given.
MECHANISMS: tuple[MechanismName, ...] = ("CKM_ECDSA", "CKM_ECDSA_SHA256")


class KeySigner:
    """Signs with one key and mechanism. Its calls are C_SignInit and C_Sign and nothing else.

    ``where`` names the key in errors.
    """

    def __init__(
        self, module: Module, session: PyKCS11.Session, handle: Any, name: MechanismName, where: str
    ) -> None:
        self.mechanism = name
        self._doing = f"sign with {where}"
        number = getattr(PyKCS11, name)
        try:
            self._calls = SignCalls(module.library, session.session.value(), handle.value(), number)
        except PyKCS11.PyKCS11Error as error:
            raise explain(self._doing, error) from None

    def sign(self, data: bytes) -> bytes:
        """The signature as the token gives it: r and s, 32 bytes each. ``data``: 32 bytes. Raises SignerError."""
        try:
            signature = self._calls.sign(data)
        except PyKCS11.PyKCS11Error as error:
            raise explain(self._doing, error) from None
        if len(signature) != COMPACT_LENGTH:
            raise SignerError("unavailable", f"{self._doing}: got {len(signature)} bytes instead of 64")
        return signature


def choose_mechanism(module: Module, token: Token) -> MechanismName:
    """The mechanism to sign with. SignerError ``misconfigured`` if the token has neither."""
    for name in MECHANISMS:
        found = module.mechanism(token, name)
        if found is not None and found.flags & PyKCS11.CKF_SIGN:
            return name
    raise SignerError("misconfigured", f"{token} signs neither by CKM_ECDSA nor by CKM_ECDSA_SHA256")
