"""What is in an HSM, as ``fedsm hsm list`` tells it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import PyKCS11

from signers.base import SignerError
from signers.pkcs11_key import PrivateKey, find_keys
from signers.pkcs11_login import log_in
from signers.pkcs11_module import Module, Token
from signers.pkcs11_place import KeyPlace
from signers.pkcs11_signing import MECHANISMS

SHOWN_MECHANISMS = (*MECHANISMS, "CKM_EC_KEY_PAIR_GEN")
_USES = {
    PyKCS11.CKF_SIGN: "sign",
    PyKCS11.CKF_VERIFY: "verify",
    PyKCS11.CKF_GENERATE_KEY_PAIR: "generate key pairs",
    PyKCS11.CKF_HW: "in hardware",
}


def inventory(place: KeyPlace, pin: str | None) -> dict[str, Any]:
    """Module, tokens, mechanisms and keys, as JSON-able data.

    Private keys are listed of the one token that ``place`` means: a PIN must not be tried on others. Raises
    SignerError.
    """
    with closing(Module(place.module)) as module:
        tokens = module.tokens()
        meant = [token for token in tokens if token.has(PyKCS11.CKF_TOKEN_INITIALIZED) and token.fits(place)]
        opened = meant[0] if len(meant) == 1 and pin is not None else None
        return {
            "module": place.module,
            "description": module.description(),
            "tokens": [_token(module, token, pin if token is opened else None) for token in tokens],
        }


def _token(module: Module, token: Token, pin: str | None) -> dict[str, Any]:
    keys = None
    if pin is not None:
        keys = [_key(key) for key in find_keys(log_in(module, token, pin), str(token))]
    return {
        "label": token.label,
        "serial": token.serial,
        "slot": token.slot,
        "manufacturer": token.manufacturer,
        "model": token.model,
        "initialised": token.has(PyKCS11.CKF_TOKEN_INITIALIZED),
        "mechanisms": {name: _uses(module, token, name) for name in SHOWN_MECHANISMS},
        "keys": keys,
    }


def _uses(module: Module, token: Token, name: str) -> list[str] | None:
    found = module.mechanism(token, name)
    return None if found is None else [word for flag, word in _USES.items() if found.flags & flag]


def _key(key: PrivateKey) -> dict[str, Any]:
    public_key = fault = None
    try:
        public_key = key.public_key().hex()
        key.check_sealed()
    except SignerError as error:
        fault = error.message
    return {"label": key.label, "id": key.key_id.hex(), "public_key": public_key, "fault": fault}
