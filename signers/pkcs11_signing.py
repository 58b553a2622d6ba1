"""Signing with a private key on a token: the mechanisms, and the calls. For one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import PyKCS11
from PyKCS11 import LowLevel

from signers.base import SignerError
from signers.ecdsa import COMPACT_LENGTH
from signers.pkcs11_codes import explain

if TYPE_CHECKING:
    from signers.pkcs11_module import Module, Token

MechanismName = Literal["CKM_ECDSA", "CKM_ECDSA_SHA256"]
# Best first: the other one hashes what it is given.
MECHANISMS: tuple[MechanismName, ...] = ("CKM_ECDSA", "CKM_ECDSA_SHA256")
_SIGNATURE_ROOM = 256


class KeySigner:
    """Signs with one key and mechanism. Its calls are C_SignInit and C_Sign and nothing else."""

    def __init__(self, session: PyKCS11.Session, handle: Any, name: MechanismName, doing: str) -> None:
        self._session = session
        self._handle = handle
        self._mechanism = PyKCS11.Mechanism(getattr(PyKCS11, name), None).to_native()
        self._doing = doing
        self.mechanism = name

    def sign(self, data: bytes) -> bytes:
        """The signature as the token gives it: r and s, 32 bytes each. ``data``: 32 bytes. Raises SignerError."""
        lib, session = self._session.lib, self._session.session
        # PyKCS11's own sign() calls C_Sign twice, the first time to ask for the length.
        room = LowLevel.ckbytelist(_SIGNATURE_ROOM)
        code = lib.C_SignInit(session, self._mechanism, self._handle)
        if code == PyKCS11.CKR_OK:
            code = lib.C_Sign(session, PyKCS11.ckbytelist(data), room)
        if code != PyKCS11.CKR_OK:
            raise explain(self._doing, PyKCS11.PyKCS11Error(code))
        signature = bytes(room)
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
