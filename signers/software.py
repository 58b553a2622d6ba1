"""A block-signing key held in this process, and the key files and variables it comes from.

A key is written as WIF (any version prefix, compressed public key) or as 64 hex digits. No error, representation
or log line made here ever contains one.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import wallycore as wally

from signers.base import SignerError, checked_block_signature, checked_text_signature, text_digest
from signers.ecdsa import compact_to_der
from signers.private_file import read_private

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_VARIABLE = "FEDSM_KEY"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"  # of systemd
KEY_CREDENTIAL = "fedsm-key"
_HEX_KEY = re.compile(r"[0-9a-fA-F]{64}")
_SIGN_FLAGS = wally.EC_FLAG_ECDSA | wally.EC_FLAG_GRIND_R


class SoftwareSigner:
    """Signs with a 32-byte secret. Signatures are deterministic (RFC 6979) and ground to low R, as nodes make them.

    Raises SignerError ``misconfigured`` if the secret is not a valid secp256k1 key.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret: bytes | None = _valid(bytes(secret))
        self._public_key = bytes(wally.ec_public_key_from_private_key(self._secret))

    def __repr__(self) -> str:
        return f"SoftwareSigner(public_key={self._public_key.hex()})"

    @property
    def public_key(self) -> bytes:
        """The 33-byte compressed public key."""
        return self._public_key

    def sign_block(self, digest: bytes, block: bytes) -> bytes:  # noqa: ARG002 - the digest is all a key needs
        """Strict-DER, low-S, low-R signature over the 32-byte digest. Raises SignerError."""
        return checked_block_signature(self._public_key, digest, compact_to_der(self._sign(digest)))

    def sign_text(self, text: str) -> bytes:
        """Compact signature over the "Bitcoin Signed Message" digest of the text. Raises SignerError."""
        return checked_text_signature(self._public_key, text, self._sign(text_digest(text)))

    def close(self) -> None:
        """Forget the secret."""
        self._secret = None

    def _sign(self, digest: bytes) -> bytes:
        if self._secret is None:
            raise SignerError("unavailable", "the signer is closed")
        if len(digest) != wally.EC_MESSAGE_HASH_LEN:
            raise SignerError("refused", f"a digest to sign has 32 bytes, this one has {len(digest)}")
        return bytes(wally.ec_sig_from_bytes(self._secret, digest, _SIGN_FLAGS))


def key_credential(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The credential ``fedsm-key`` that systemd gives this service, if it does."""
    directory = environ.get(CREDENTIALS_VARIABLE)
    path = Path(directory, KEY_CREDENTIAL) if directory else None
    return path if path is not None and path.exists() else None


def load_key(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> bytes:
    """The 32-byte secret from a key file or, without one, from the variable FEDSM_KEY.

    The file must be a regular file of this user which nobody else may touch, or a credential from systemd.
    Raises SignerError ``misconfigured`` naming the file or variable and the cure.
    """
    if path is not None:
        credentials = environ.get(CREDENTIALS_VARIABLE)
        given = bool(credentials) and path.parent == Path(str(credentials))
        content = read_private(path, "key file", shared=given).decode("ascii", errors="replace")
        return parse_key(content, f"key file {path}")
    if KEY_VARIABLE not in environ:
        raise SignerError("misconfigured", f"no signing key: give a key file or set {KEY_VARIABLE}")
    return parse_key(environ[KEY_VARIABLE], f"variable {KEY_VARIABLE}")


def generate_key() -> bytes:
    """A new 32-byte secret from the system's random source."""
    while True:
        secret = secrets.token_bytes(wally.EC_PRIVATE_KEY_LEN)
        try:
            return _valid(secret)
        except SignerError:
            continue  # zero or not below the group order: one in 2^128


def encode_wif(secret: bytes, prefix: int) -> str:
    """WIF of a secret for a compressed public key. ``prefix`` is the chain's version byte (Elements: 0xef)."""
    return str(wally.wif_from_bytes(_valid(secret), prefix, wally.WALLY_WIF_FLAG_COMPRESSED))


def write_key_file(path: Path, secret: bytes, prefix: int) -> None:
    """Write a secret as WIF to a new file with mode 0600, durably. An existing file is never touched.

    Raises SignerError ``misconfigured`` if the file exists or cannot be written.
    """
    line = encode_wif(secret, prefix) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SignerError("misconfigured", f"key file {path} exists already and is not overwritten") from None
    except OSError as error:
        raise SignerError("misconfigured", f"cannot write key file {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # ours, made a moment ago, and useless
        raise SignerError("misconfigured", f"cannot write key file {path}: {error.strerror}") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def parse_key(text: str, source: str) -> bytes:
    """The secret that ``text`` holds, WIF or hex; SignerError ``misconfigured`` names the ``source``."""
    text = text.strip()
    if not text:
        raise SignerError("misconfigured", f"{source} is empty")
    try:
        secret = bytes.fromhex(text) if _HEX_KEY.fullmatch(text) else _decode_wif(text)
        return _valid(secret)
    except SignerError as error:
        raise SignerError("misconfigured", f"{source}: {error.message}") from None


def _decode_wif(text: str) -> bytes:
    """The secret in a WIF string: base58check of version, 32 bytes, and 01 for a compressed public key."""
    try:
        payload = bytes(wally.base58check_to_bytes(text))
    except ValueError:
        raise SignerError("misconfigured", "neither WIF (bad base58 or checksum) nor 64 hex digits") from None
    if len(payload) == 33:
        raise SignerError(
            "misconfigured",
            "WIF is for an uncompressed public key; block-signing scripts here hold compressed keys only",
        )
    if len(payload) != 34 or payload[-1] != 1:
        raise SignerError("misconfigured", "base58 is sound but it is not a WIF private key")
    return payload[1:33]


def _valid(secret: bytes) -> bytes:
    try:
        wally.ec_private_key_verify(secret)
    except ValueError:
        raise SignerError("misconfigured", "the secret is not a valid secp256k1 private key") from None
    return secret
