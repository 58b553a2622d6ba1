"""One private key on a token: finding it, and what it is. For one thread."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import PyKCS11

from signers.base import SignerError
from signers.pkcs11_codes import explain
from signers.pkcs11_module import listed
from signers.pkcs11_point import compressed_point, curve_name
from signers.pkcs11_signing import KeySigner, MechanismName

if TYPE_CHECKING:
    from signers.pkcs11_module import Module
    from signers.pkcs11_place import KeyPlace


class PrivateKey:
    """An EC private key object in a session. Attributes that a token does not tell are None."""

    def __init__(self, session: PyKCS11.Session, handle: Any, where: str) -> None:
        self._session = session
        self._handle = handle
        kind, label, key_id, curve, sensitive, extractable = self._ask(
            handle,
            PyKCS11.CKA_KEY_TYPE,
            PyKCS11.CKA_LABEL,
            PyKCS11.CKA_ID,
            PyKCS11.CKA_EC_PARAMS,
            PyKCS11.CKA_SENSITIVE,
            PyKCS11.CKA_EXTRACTABLE,
        )
        self.is_ec = kind == PyKCS11.CKK_EC
        self.label = str(label or "")
        self.key_id = bytes(key_id or ())
        self.sensitive: bool | None = sensitive
        self.extractable: bool | None = extractable
        self._curve = bytes(curve or ())
        self._where = where

    def __str__(self) -> str:
        return f'"{self.label}" (id {self.key_id.hex() or "none"})'

    def check_curve(self) -> None:
        """Raise SignerError ``misconfigured`` unless it is a key on secp256k1."""
        if not self.is_ec:
            raise SignerError("misconfigured", f"the key {self} on {self._where} is no EC key")
        if self._curve and curve_name(self._curve) != "secp256k1":
            raise SignerError(
                "misconfigured",
                f"the key {self} on {self._where} is on the curve {curve_name(self._curve)}, not on secp256k1",
            )

    def check_sealed(self) -> None:
        """Raise SignerError ``misconfigured`` unless the key can never leave the token in clear."""
        for name, value, wanted in (
            ("CKA_SENSITIVE", self.sensitive, True),
            ("CKA_EXTRACTABLE", self.extractable, False),
        ):
            if value is not wanted:
                said = "not told by the token" if value is None else str(bool(value)).lower()
                raise SignerError(
                    "misconfigured",
                    f"the key {self} on {self._where} could leave the token: {name} is {said}; "
                    "make one that cannot (fedsm hsm init), or give --allow-extractable",
                )

    def public_key(self) -> bytes:
        """The 33-byte public key: from the public object with its id or label, else from the private one.

        SignerError ``misconfigured`` if there is none or it is not on secp256k1.
        """
        self.check_curve()
        for handle in [*self._public_objects(), self._handle]:
            (point,) = self._ask(handle, PyKCS11.CKA_EC_POINT)
            if not point:
                continue
            try:
                return compressed_point(bytes(point))
            except ValueError as error:
                raise SignerError("misconfigured", f"the key {self} on {self._where}: {error}") from None
        raise SignerError(
            "misconfigured",
            f"{self._where} does not tell the public key of {self}: store its public key object with the same id",
        )

    def signs(self, module: Module, name: MechanismName) -> KeySigner:
        """The key with a mechanism, ready to sign."""
        return KeySigner(module, self._session, self._handle, name, f"the key {self} on {self._where}")

    def _public_objects(self) -> list[Any]:
        """Public key objects that belong to it: by id, which PKCS #11 made for that, else by label.

        One with its label and another id is that of another key.
        """
        found = self._find_public((PyKCS11.CKA_ID, self.key_id)) if self.key_id else []
        if self.label:
            for handle in self._find_public((PyKCS11.CKA_LABEL, self.label)):
                (key_id,) = self._ask(handle, PyKCS11.CKA_ID)
                if not key_id:
                    found.append(handle)
        return found

    def _find_public(self, attribute: tuple[int, Any]) -> list[Any]:
        template = [(PyKCS11.CKA_CLASS, PyKCS11.CKO_PUBLIC_KEY), (PyKCS11.CKA_KEY_TYPE, PyKCS11.CKK_EC), attribute]
        try:
            return list(self._session.findObjects(template))
        except PyKCS11.PyKCS11Error as error:
            raise explain(f"look for the public key of {self} on {self._where}", error) from None

    def _ask(self, handle: Any, *attributes: int) -> list[Any]:
        try:
            return list(self._session.getAttributeValue(handle, attributes))
        except PyKCS11.PyKCS11Error as error:
            raise explain("read the attributes of a key", error) from None


def find_key(session: PyKCS11.Session, place: KeyPlace, where: str) -> PrivateKey:
    """The one private key that ``place`` means on the token of a session. SignerError if none or several fit.

    Objects that fit and are one key, as some tokens show it, count as one.
    """
    fitting = find_keys(session, where, place.label, place.key_id)
    if not fitting:
        there = listed(find_keys(session, where))
        raise SignerError("misconfigured", f"no {place.key_words} on {where}; it has {there}")
    if len(fitting) > 1:
        usable: dict[bytes, PrivateKey] = {}
        for key in fitting:
            with suppress(SignerError):
                usable.setdefault(key.public_key(), key)
        if len(usable) != 1:
            raise SignerError(
                "misconfigured",
                f"{place.key_words} is not one but {len(fitting)} on {where}: {listed(fitting)}; "
                "name its id (--pkcs11-key-id)",
            )
        return next(iter(usable.values()))
    return fitting[0]


def find_keys(
    session: PyKCS11.Session, where: str, label: str | None = None, key_id: bytes | None = None
) -> list[PrivateKey]:
    """The private keys that a session shows, all or those with a label or id. Raises SignerError."""
    template: list[tuple[int, Any]] = [(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY)]
    if label is not None:
        template.append((PyKCS11.CKA_LABEL, label))
    if key_id is not None:
        template.append((PyKCS11.CKA_ID, key_id))
    try:
        return [PrivateKey(session, handle, where) for handle in session.findObjects(template)]
    except PyKCS11.PyKCS11Error as error:
        raise explain(f"look for keys on {where}", error) from None
