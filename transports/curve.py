"""CURVE keys for ZeroMQ links: made, kept in a file of their own, and pinned for every member.

A key has 32 bytes, written as 40 characters of Z85 (ZeroMQ RFC 32). With keys, links are encrypted and both ends
prove who they are before a byte of a message passes (CurveZMQ, RFC 26): whoever holds no pinned key gets nothing.
"""

from __future__ import annotations

import os
import shlex
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from transports.base import TransportError

KEY_CHARACTERS = 40
KEY_BYTES = 32


@dataclass(frozen=True)
class CurvePair:
    """A member's own CURVE key pair, 32 bytes each."""

    secret: bytes = field(repr=False)
    public: bytes

    @property
    def public_text(self) -> str:
        """The public key as the federation file has it (Z85)."""
        return z85.encode(self.public).decode()


@dataclass(frozen=True)
class CurveKeys:
    """What encrypted links need: the own pair, and the public key of every other member by its number."""

    own: CurvePair
    peers: Mapping[int, bytes]

    @classmethod
    def pinned(cls, own: CurvePair, member: int, public_keys: Mapping[int, str]) -> CurveKeys:
        """The keys as ``member`` sees them; ``public_keys`` (Z85) has all members, itself too.

        Raises TransportError that names the member whose key is malformed, missing or another's, and when
        ``own`` is not the pair that is pinned for ``member``.
        """
        members: dict[int, bytes] = {}
        for number, text in public_keys.items():
            try:
                key = check_public_key(text)
            except TransportError as error:
                raise TransportError(f"member {number}: {error}") from None
            twin = next((other for other, known in members.items() if known == key), None)
            if twin is not None:
                raise TransportError(f"members {twin} and {number} have one CURVE key")
            members[number] = key
        if members.pop(member, None) != own.public:
            pinned = public_keys.get(member, "none")
            raise TransportError(
                f"the CURVE key file holds the secret of {own.public_text}, the key pinned for member {member} "
                f"is {pinned}"
            )
        return cls(own, members)


def make_pair() -> CurvePair:
    """A new key pair from the system's random source."""
    public, secret = zmq.curve_keypair()
    return CurvePair(z85.decode(secret), z85.decode(public))


def check_public_key(text: str) -> bytes:
    """The 32 bytes of a public key in Z85. Raises TransportError that says what is wrong with it."""
    return _decode(text, "a CURVE public key")


def write_key_file(path: Path, pair: CurvePair) -> None:
    """Write the secret (Z85, one line) to a new file with mode 0600, durably. An existing file is never touched.

    Raises TransportError if the file exists or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise TransportError(f"CURVE key file {path} exists already and is not overwritten") from None
    except OSError as error:
        raise TransportError(f"cannot write CURVE key file {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(z85.encode(pair.secret) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _sync_directory(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)  # ours, made a moment ago, and useless
        raise TransportError(f"cannot write CURVE key file {path}: {error.strerror}") from None


def load_key_file(path: Path) -> CurvePair:
    """The pair whose secret is in a file that only this user can reach.

    Raises TransportError that names the file and the cure. No message ever contains what the file holds.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not hang; the checks are made on what was opened, not on the name.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TransportError(f"cannot read CURVE key file {path}: {error.strerror}") from None
    try:
        _check_private(path, os.fstat(descriptor))
        content = os.read(descriptor, 4 * KEY_CHARACTERS)
    finally:
        os.close(descriptor)
    try:
        text = content.decode("ascii").strip()
        secret = _decode(text, "a CURVE secret key")
    except UnicodeDecodeError:
        raise TransportError(f"CURVE key file {path} holds bytes that are no text") from None
    except TransportError as error:
        raise TransportError(f"CURVE key file {path}: {error}") from None
    return CurvePair(secret, z85.decode(zmq.curve_public(text.encode())))


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise TransportError(f"CURVE key file {path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise TransportError(
            f"CURVE key file {path} belongs to user {status.st_uid}, not to user {os.geteuid()} who runs this"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise TransportError(
            f"CURVE key file {path} has mode {mode:04o}, others may touch it; run: chmod 600 "
            f"{shlex.quote(str(path))}"
        )


def _decode(text: str, what: str) -> bytes:
    if len(text) != KEY_CHARACTERS:
        raise TransportError(f"{what} has {KEY_CHARACTERS} characters of Z85, this one has {len(text)}")
    try:
        return z85.decode(text)
    except (ValueError, KeyError, struct.error):  # not ASCII, not of the alphabet, beyond 32 bits
        raise TransportError(f"{what} is written in Z85, this one is not") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
