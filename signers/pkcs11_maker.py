"""Making what a member needs in an HSM: a token where the module lets us, and a key that cannot leave it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import PyKCS11

from signers.base import SignerError
from signers.pkcs11_codes import explain
from signers.pkcs11_key import find_key, find_keys
from signers.pkcs11_login import log_in
from signers.pkcs11_module import Token, listed
from signers.pkcs11_place import KeyPlace
from signers.pkcs11_point import SECP256K1_OID

if TYPE_CHECKING:
    from collections.abc import Callable

    from signers.pkcs11_module import Module

KEY_ID_LENGTH = 8


def find_or_make_token(module: Module, place: KeyPlace, pin: str, so_pin: Callable[[], str]) -> tuple[Token, bool]:
    """The token that ``place`` means, and whether it was made now, with this PIN, because there was none.

    ``so_pin`` is asked for the security officer's PIN only then. Tokens that exist are never initialised again.
    Raises SignerError.
    """
    tokens = module.tokens()
    if any(token.has(PyKCS11.CKF_TOKEN_INITIALIZED) and token.fits(place) for token in tokens):
        return module.find(place), False
    if place.token is None:
        raise SignerError("misconfigured", "name the token that is to be used or made (--pkcs11-token)")
    empty = [
        token
        for token in tokens
        if not token.has(PyKCS11.CKF_TOKEN_INITIALIZED) and place.slot in (None, token.slot)
    ]
    if not empty:
        raise SignerError(
            "misconfigured",
            f"no {place.token_words} in module {module.path}, and none can be made there: it has {listed(tokens)}",
        )
    _make_token(module, empty[0], place.token, pin, so_pin())
    return module.find(KeyPlace(module=module.path, token=place.token)), True


def make_key(module: Module, token: Token, pin: str | None, place: KeyPlace) -> bytes:
    """Generate a secp256k1 key pair on a token and return its public key (33 bytes), read back from there.

    ``place`` names the key's label and id; without an id it gets a random one. A key with the label or id is never
    replaced or joined by another: SignerError ``misconfigured``.
    """
    if place.label is None:
        raise SignerError("misconfigured", "name the new key (--pkcs11-key)")
    session = log_in(module, token, pin, write=True)
    key_id = place.key_id or secrets.token_bytes(KEY_ID_LENGTH)
    for taken in (find_keys(session, str(token), place.label), find_keys(session, str(token), key_id=key_id)):
        if taken:
            raise SignerError(
                "misconfigured", f"{token} has the key {listed(taken)} already; nothing is overwritten"
            )
    common = [(PyKCS11.CKA_TOKEN, True), (PyKCS11.CKA_LABEL, place.label), (PyKCS11.CKA_ID, key_id)]
    public = [
        *common,
        (PyKCS11.CKA_EC_PARAMS, SECP256K1_OID),
        (PyKCS11.CKA_VERIFY, True),
        (PyKCS11.CKA_PRIVATE, False),  # so that the public key can be read without the PIN
    ]
    private = [
        *common,
        (PyKCS11.CKA_PRIVATE, True),
        (PyKCS11.CKA_SENSITIVE, True),
        (PyKCS11.CKA_EXTRACTABLE, False),
        (PyKCS11.CKA_SIGN, True),
    ]
    try:
        session.generateKeyPair(public, private, PyKCS11.Mechanism(PyKCS11.CKM_EC_KEY_PAIR_GEN, None))
    except PyKCS11.PyKCS11Error as error:
        raise explain(f"generate a key on {token}", error) from None
    key = find_key(session, KeyPlace(module=module.path, label=place.label, key_id=key_id), str(token))
    key.check_sealed()
    return key.public_key()


def _make_token(module: Module, empty: Token, label: str, pin: str, so_pin: str) -> None:
    try:
        module.lib.initToken(empty.slot, so_pin, label)
        session = module.lib.openSession(empty.slot, PyKCS11.CKF_RW_SESSION)
        session.login(so_pin, PyKCS11.CKU_SO)
        session.initPin(pin)
        session.logout()
        session.closeSession()
    except PyKCS11.PyKCS11Error as error:
        raise explain(f'make the token "{label}" in slot {empty.slot}', error) from None
