"""Files that hold a secret: read only if they are what they should be, and nobody else may touch them."""

from __future__ import annotations

import os
import shlex
import stat
from typing import TYPE_CHECKING

from signers.base import SignerError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 4096


def read_private(path: Path, what: str, *, shared: bool = False) -> bytes:
    """The content of a secret's file. ``what`` names it in errors ("key file").

    It must be a regular file of this user which nobody else may touch. ``shared``: as secret stores mount them, it
    may also be root's or have a group; only "others" may not touch it. Raises SignerError ``misconfigured``.
    """
    try:
        # O_NONBLOCK: opening a FIFO must not hang; the checks are made on what was opened, not on the name.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SignerError("misconfigured", f"cannot read {what} {path}: {error.strerror}") from None
    try:
        _check(path, what, os.fstat(descriptor), shared=shared)
        content = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise SignerError("misconfigured", f"{what} {path} is larger than {MAX_BYTES} bytes")
    return content


def _check(path: Path, what: str, status: os.stat_result, *, shared: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SignerError("misconfigured", f"{what} {path} is not a regular file")
    owners = {os.geteuid(), 0} if shared else {os.geteuid()}
    if status.st_uid not in owners:
        raise SignerError(
            "misconfigured",
            f"{what} {path} belongs to user {status.st_uid}, not to user {os.geteuid()} who runs this",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & (0o007 if shared else 0o077):
        cure = "o=" if shared else "600"
        raise SignerError(
            "misconfigured",
            f"{what} {path} has mode {mode:04o}, others may touch it; run: chmod {cure} {shlex.quote(str(path))}",
        )
