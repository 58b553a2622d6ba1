"""A block-signing key in a PKCS#11 token (HSM), which never leaves it.

The token signs one text (the identity certificate, once) and then one digest a block. What it gives is made
low-S and strict DER, and verified, before it leaves this signer.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from signers.base import (
    PinError,
    SignerError,
    checked_block_signature,
    checked_text_signature,
    text_digest,
)
from signers.ecdsa import (
    DIGEST_LENGTH,
    bitcoin_message,
    compact_to_der,
    inner_hash,
    normalise_compact,
)
from signers.pkcs11_child import TokenProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from signers.pkcs11_place import KeyPlace
    from signers.pkcs11_wire import Opened

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


class Pkcs11Signer:
    """Signs by a token. Being made it logs in, and raises SignerError if that fails.

    When a call fails for whatever reason (token removed, session lost, module restarted or crashed) the next step
    is a new login: at once the first time, then with growing pauses of up to ten seconds, and only when a signature
    is wanted. During a pause ``unavailable`` is answered at once. A refused PIN is never tried again.
    """

    def __init__(
        self,
        place: KeyPlace,
        pin: str | None,
        *,
        allow_extractable: bool = False,
        log: structlog.stdlib.BoundLogger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._pin = pin
        self._allow_extractable = allow_extractable
        self._log = log or structlog.get_logger()
        self._clock = clock
        self._turn = threading.Lock()
        self._closed = False
        self._refused: PinError | None = None
        self._trouble: str | None = None
        self._failures = 0
        self._next_try_s = 0.0
        self._process: TokenProcess | None = None
        _, opened = self._open()
        self._public_key = opened.public_key
        self._hashes = opened.mechanism == "CKM_ECDSA_SHA256"
        self._token = opened.token

    def __repr__(self) -> str:
        return f"Pkcs11Signer({self._token}, public_key={self._public_key.hex()})"

    @property
    def public_key(self) -> bytes:
        """The 33-byte compressed public key."""
        return self._public_key

    def sign_block(self, digest: bytes, block: bytes) -> bytes:
        """Strict-DER low-S signature over the 32-byte digest, verified. Raises SignerError.

        ``block`` is needed for tokens that hash themselves: any data that begins with the bytes whose double
        SHA-256 is ``digest``.
        """
        compact = self._sign(digest, block)
        try:
            der = compact_to_der(compact)
        except ValueError:
            raise _no_signature(compact) from None
        return checked_block_signature(self._public_key, digest, der)

    def sign_text(self, text: str) -> bytes:
        """Compact signature over the "Bitcoin Signed Message" digest of the text. Raises SignerError."""
        digest = text_digest(text)
        compact = self._sign(digest, bitcoin_message(text))
        try:
            low = normalise_compact(compact)
        except ValueError:
            raise _no_signature(compact) from None
        return checked_text_signature(self._public_key, text, low)

    def close(self) -> None:
        """Log out and end the token's process; a call under way ends with SignerError ``unavailable``."""
        self._closed = True
        if self._process is not None:
            self._process.close()

    # --- inside; all that follows is done by whoever has the turn

    def _sign(self, digest: bytes, source: bytes) -> bytes:
        """r and s as the token gives them."""
        if len(digest) != DIGEST_LENGTH:
            raise SignerError("refused", f"a digest to sign has 32 bytes, this one has {len(digest)}")
        data = self._once_hashed(digest, source) if self._hashes else digest
        with self._turn:
            while True:
                process = self._logged_in()
                try:
                    signature = process.sign(data)
                except SignerError as error:
                    self._lose(error)
                    if self._clock() < self._next_try_s:
                        raise
                else:
                    self._works()
                    return signature

    @staticmethod
    def _once_hashed(digest: bytes, source: bytes) -> bytes:
        try:
            return inner_hash(digest, source)
        except ValueError as error:
            raise SignerError("refused", str(error)) from None

    def _logged_in(self) -> TokenProcess:
        """The process of the token, a new one if the last was lost and it is time for a new attempt."""
        if self._closed:
            raise SignerError("unavailable", "the signer is closed")
        if self._refused is not None:
            raise self._refused
        if self._process is not None:
            return self._process
        pause_s = self._next_try_s - self._clock()
        if pause_s > 0:
            raise SignerError("unavailable", f"{self._trouble}; tried again in {pause_s:.1f} s")
        try:
            process, opened = self._open()
            if opened.public_key != self._public_key:
                other = opened.public_key.hex()
                raise SignerError("misconfigured", f"the key on {opened.token} is another one now: {other}")
        except PinError as error:
            self._refused = error
            self._log.error("hsm_pin_refused", detail=error.message)
            raise
        except SignerError as error:
            self._lose(error)
            # At a start it would be an error of configuration; now it may be a token that comes back.
            raise SignerError("unavailable", error.message) from None
        return process

    def _open(self) -> tuple[TokenProcess, Opened]:
        process = self._process = TokenProcess()
        try:
            if self._closed:  # since we looked, and without a process to end
                raise SignerError("unavailable", "the signer is closed")
            opened = process.open(self._place, self._pin, allow_extractable=self._allow_extractable)
        except BaseException:
            process.close()
            self._process = None
            raise
        return process, opened

    def _lose(self, error: SignerError) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** (self._failures - 1), _LONGEST_PAUSE_S) if self._failures else 0.0
        self._failures += 1
        self._next_try_s = self._clock() + pause_s
        if self._trouble != error.message and not self._closed:
            self._trouble = error.message
            self._log.warning("hsm_lost", detail=error.message)

    def _works(self) -> None:
        self._failures = 0
        if self._trouble is not None:
            self._trouble = None
            self._log.info("hsm_back", token=self._token)


def _no_signature(compact: bytes) -> SignerError:
    return SignerError("refused", f"the token gave no signature but {compact.hex()}")
