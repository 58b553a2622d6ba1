"""Whether an HSM can do a member's work: named checks, as ``fedsm hsm check`` shows them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import PyKCS11
import wallycore as wally

from fedsm.hsm import HsmAccess
from signers.base import PinError, SignerError
from signers.ecdsa import der_to_compact, normalise_compact, verify_der
from signers.pkcs11 import Pkcs11Signer
from signers.pkcs11_key import PrivateKey, find_key
from signers.pkcs11_login import log_in
from signers.pkcs11_module import Module, Token
from signers.pkcs11_signing import choose_mechanism

SAMPLES = 20


@dataclass(frozen=True)
class Check:
    """One row of the table. ``ok`` None: it was not tried, because one that it builds on failed."""

    name: str
    ok: bool | None
    detail: str
    pin_refused: bool = False


def check(access: HsmAccess, interval_s: float) -> list[Check]:
    """The rows, in order. ``interval_s`` is the block interval that the token must keep up with."""
    examination = _Examination(access, interval_s)
    rows: list[Check] = []
    stopped = False
    with closing(examination):
        for name, step, vital in examination.steps():
            if stopped:
                rows.append(Check(name, None, "not tried"))
                continue
            try:
                rows.append(Check(name, True, step()))
            except SignerError as error:
                rows.append(Check(name, False, error.message, isinstance(error, PinError)))
                stopped = vital
    return rows


class _Examination:
    """The steps; each returns what is worth telling, or raises SignerError."""

    def __init__(self, access: HsmAccess, interval_s: float) -> None:
        self._access = access
        self._interval_s = interval_s
        self._opened: Module | None = None
        self._slowest_s = self._total_s = 0.0
        self._signatures: list[bytes] = []

    def steps(self) -> list[tuple[str, Callable[[], str], bool]]:
        """Name, step, and whether the later ones are pointless without it."""
        return [
            ("module loads", self._load, True),
            ("token present", self._find_token, True),
            ("PIN accepted", self._log_in, True),
            ("key found", self._find_key, True),
            ("secp256k1", self._check_curve, True),
            ("sensitive", lambda: self._check_attribute("CKA_SENSITIVE", self._key.sensitive, wanted=True), False),
            (
                "not extractable",
                lambda: self._check_attribute("CKA_EXTRACTABLE", self._key.extractable, wanted=False),
                False,
            ),
            ("sign and verify", self._sign, True),
            ("low-S", self._check_low, False),
            ("signatures a second", self._check_pace, False),
        ]

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _load(self) -> str:
        self._module: Module = Module(self._access.place.module)
        self._opened = self._module
        return self._module.description()

    def _find_token(self) -> str:
        self._token: Token = self._module.find(self._access.place)
        return str(self._token)

    def _log_in(self) -> str:
        self._session = log_in(self._module, self._token, self._access.pin)
        needed = self._token.has(PyKCS11.CKF_LOGIN_REQUIRED)
        return "" if needed else "the token asks for none"

    def _find_key(self) -> str:
        self._key: PrivateKey = find_key(self._session, self._access.place, str(self._token))
        return str(self._key)

    def _check_curve(self) -> str:
        return f"public key {self._key.public_key().hex()}"

    def _check_attribute(self, name: str, value: bool | None, *, wanted: bool) -> str:
        if value is wanted:
            return ""
        said = f"{name} is {'not told by the token' if value is None else str(bool(value)).lower()}"
        if not self._access.allow_extractable:
            raise SignerError("misconfigured", f"{said}: the key could leave the token")
        return f"{said}, and allowed"

    def _sign(self) -> str:
        """As the daemon signs, so by a process of its own; the samples are of no use as block signatures."""
        mechanism = choose_mechanism(self._module, self._token)
        self.close()
        with closing(Pkcs11Signer(self._access.place, self._access.pin, allow_extractable=True)) as signer:
            for _ in range(SAMPLES):
                source = secrets.token_bytes(64)
                digest = bytes(wally.sha256d(source))
                begun_s = time.perf_counter()
                signature = signer.sign_block(digest, source)
                taken_s = time.perf_counter() - begun_s
                self._total_s += taken_s
                self._slowest_s = max(self._slowest_s, taken_s)
                if not verify_der(signer.public_key, digest, signature):
                    raise SignerError("refused", "a signature does not verify")
                self._signatures.append(signature)
        return f"{SAMPLES} by {mechanism}"

    def _check_low(self) -> str:
        high = [s for s in map(der_to_compact, self._signatures) if normalise_compact(s) != s]
        if high:
            raise SignerError("refused", f"{len(high)} of {SAMPLES} signatures have a high S")
        return "as they leave fedsm"

    def _check_pace(self) -> str:
        """A round may take half of the interval until the block is decided; the signature has the other half."""
        rate, slowest_ms = SAMPLES / self._total_s, self._slowest_s * 1000
        said = f"{rate:.1f}, the slowest took {slowest_ms:.0f} ms"
        if self._slowest_s > self._interval_s / 2:
            raise SignerError(
                "misconfigured",
                f"{said}: too slow for blocks every {self._interval_s:g} s, which leave half of that",
            )
        return f"{said}: enough for blocks every {self._interval_s:g} s"
