"""A member's identity: the key that signs its envelopes, and the certificate that ties it to its signing key.

The identity key is a BIP-340 key made on a member's first start and kept beside the guard. It is certified
once by the member's block-signing key: compact ECDSA over the "Bitcoin Signed Message" digest of a text that
names chain, member, identity key and a serial, which a software key, an HSM and a node wallet (signmessage)
can all give. The certificate is kept too, so a restart needs no signature.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated

import msgspec
import wallycore as wally

from states.messages import IdentityCertificate
from transports.limits import MAX_SERIAL

KEY_FILE = "identity.key"
CERTIFICATE_FILE = "identity.cert"


class IdentityError(Exception):
    """The identity key or its certificate cannot be used; the message says what an operator can do."""


@dataclass(frozen=True)
class Identity:
    """An identity key pair: 32-byte secret and its 32-byte x-only public key (BIP-340)."""

    secret: bytes = field(repr=False)
    public_key: bytes

    @classmethod
    def from_secret(cls, secret: bytes) -> Identity:
        """The key pair of a secret; raises ValueError unless it is a valid 32-byte secp256k1 scalar."""
        return cls(secret, bytes(wally.ec_public_key_from_private_key(secret))[1:])


def make_identity(directory: Path) -> Identity:
    """Make the identity key of a new data directory: 32 raw bytes in identity.key, mode 0600, durable.

    Raises IdentityError if there is one already: an identity is never overwritten.
    """
    path = directory / KEY_FILE
    identity = Identity.from_secret(_new_secret())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise IdentityError(f"{path} exists already") from None
    except OSError as error:
        raise IdentityError(f"cannot create {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_durably(file, identity.secret)
        _sync_directory(directory)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise IdentityError(f"cannot write {path}: {error.strerror}") from None
    return identity


def load_identity(directory: Path) -> Identity:
    """Read identity.key. Raises IdentityError if it is missing, corrupt, or readable by anyone but its owner."""
    path = directory / KEY_FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise IdentityError(f"there is no {path}") from None
    except OSError as error:
        raise IdentityError(f"cannot read {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise IdentityError(f"{path} is not a regular file")
        if status.st_uid != os.geteuid():
            raise IdentityError(f"{path} belongs to user id {status.st_uid}, the daemon runs as {os.geteuid()}")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise IdentityError(f"{path} has mode {mode:04o}, others can reach it: chmod 600 {path}")
        secret = file.read(33)
    try:
        return Identity.from_secret(secret)
    except ValueError:
        raise IdentityError(
            f"{path} holds no identity key (32 bytes expected, {len(secret)} found): restore it, or remove it "
            "and a new identity is made and certified at the next start"
        ) from None


def load_or_make_identity(directory: Path) -> Identity:
    """The data directory's identity, made on first start. Raises IdentityError as the two above."""
    return load_identity(directory) if os.path.lexists(directory / KEY_FILE) else make_identity(directory)


def certificate_text(chain: bytes, member: int, identity_key: bytes, serial: int) -> str:
    """What the block-signing key signs. ``chain`` is the genesis hash in internal order, shown in display order."""
    return (
        "fedsm identity certificate\n"
        f"chain: {chain[::-1].hex()}\n"
        f"member: {member}\n"
        f"identity key: {identity_key.hex()}\n"
        f"serial: {serial}"
    )


def signed_message_digest(text: str) -> bytes:
    r"""The 32-byte digest that signmessage signs, of a text of 1 to 65,471 bytes.

    Double SHA-256 of "\x18Bitcoin Signed Message:\n", the text's length as CompactSize, and the text.
    """
    return bytes(wally.format_bitcoin_message(text.encode(), wally.BITCOIN_MESSAGE_FLAG_HASH))


def certify(
    sign_text: Callable[[str], bytes],
    *,
    chain: bytes,
    member: int,
    public_key: bytes,
    identity_key: bytes,
    serial: int,
) -> IdentityCertificate:
    """Have the block-signing key certify an identity key.

    ``sign_text`` returns 64-byte compact ECDSA over the text's signed-message digest; what it raises passes
    through. Raises IdentityError if its answer does not verify against ``public_key`` (33 bytes).
    """
    signature = sign_text(certificate_text(chain, member, identity_key, serial))
    certificate = IdentityCertificate(member, identity_key, serial, signature)
    if not verify_certificate(certificate, chain, public_key):
        raise IdentityError(
            f"the signer's signature on the identity certificate does not verify against {public_key.hex()}: "
            "does the signer hold this member's block-signing key?"
        )
    return certificate


def verify_certificate(certificate: IdentityCertificate, chain: bytes, public_key: bytes) -> bool:
    """Whether ``public_key`` (33 bytes) signed this certificate for this chain, with a low-S signature."""
    text = certificate_text(chain, certificate.member, certificate.identity_key, certificate.serial)
    try:
        wally.ec_xonly_public_key_verify(certificate.identity_key)
        wally.ec_sig_verify(public_key, signed_message_digest(text), wally.EC_FLAG_ECDSA, certificate.signature)
    except ValueError:
        return False
    return True


def load_or_certify(
    directory: Path,
    sign_text: Callable[[str], bytes],
    *,
    chain: bytes,
    member: int,
    public_key: bytes,
    identity_key: bytes,
    serial: int,
) -> IdentityCertificate:
    """The kept certificate if it is this key's on this chain; otherwise a new one, signed now and kept.

    ``serial`` is used for a new certificate, raised if an earlier one of this directory was not below it.
    The current time in seconds serves: it outranks the certificate of a data directory that was lost.
    Raises IdentityError, and what ``sign_text`` raises.
    """
    kept = _load_certificate(directory)
    if (
        kept is not None
        and (kept.member, kept.identity_key) == (member, identity_key)
        and verify_certificate(kept, chain, public_key)
    ):
        return kept
    if kept is not None:
        serial = max(serial, kept.serial + 1)
    certificate = certify(
        sign_text, chain=chain, member=member, public_key=public_key, identity_key=identity_key, serial=serial
    )
    _save_certificate(directory, certificate)
    return certificate


class _CertificateFile(msgspec.Struct, frozen=True):
    """identity.cert: JSON with the bytes as hex, so that an operator can read and compare it."""

    member: int
    identity_key: str
    serial: Annotated[int, msgspec.Meta(gt=0, lt=MAX_SERIAL)]
    signature: str


def _load_certificate(directory: Path) -> IdentityCertificate | None:
    # A damaged file counts as none: it holds nothing that one signature of the signer does not bring back.
    try:
        content = msgspec.json.decode((directory / CERTIFICATE_FILE).read_bytes(), type=_CertificateFile)
        key, signature = bytes.fromhex(content.identity_key), bytes.fromhex(content.signature)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IdentityError(f"cannot read {directory / CERTIFICATE_FILE}: {error.strerror}") from None
    except ValueError:
        return None
    return IdentityCertificate(content.member, key, content.serial, signature)


def _save_certificate(directory: Path, certificate: IdentityCertificate) -> None:
    path = directory / CERTIFICATE_FILE
    content = _CertificateFile(
        certificate.member, certificate.identity_key.hex(), certificate.serial, certificate.signature.hex()
    )
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{CERTIFICATE_FILE}.", delete=False) as file:
            _write_durably(file, msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        Path(file.name).replace(path)
        _sync_directory(directory)
    except OSError as error:
        raise IdentityError(f"cannot write {path}: {error.strerror}") from None


def _new_secret() -> bytes:
    while True:
        secret = secrets.token_bytes(32)
        try:
            wally.ec_private_key_verify(secret)
        except ValueError:  # zero or beyond the group order: one in 2**128
            continue
        return secret


def _write_durably(file: IO[bytes], content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
