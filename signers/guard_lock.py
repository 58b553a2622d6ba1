"""One daemon per key: locks that keep a second one away from the guard file and from the key.

The file lock (flock on ``<guard file>.lock``) protects the file on any host that shares it. The key lock is an
abstract unix socket named after chain and key: it stops a second daemon with another data directory on this host
(in the same network namespace: a container with its own network is not seen). The kernel frees both when the
process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import wallycore as wally

from signers.guard_codes import GuardError

if TYPE_CHECKING:
    from pathlib import Path

_BACKLOG = 64  # connections of curious second daemons, which are never accepted


class ExclusiveUse:
    """Sole use of a guard file and of a key on a chain, until ``release``. Raises GuardError ``in-use``."""

    def __init__(self, path: Path, chain: str, public_key: bytes) -> None:
        self._descriptor = _lock_file(path)
        try:
            self._socket = _lock_key(chain, public_key)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Give both locks up. The lock file stays, for removing it could let two others lock two files."""
        self._socket.close()
        os.close(self._descriptor)


def check_unused(path: Path) -> None:
    """Raise GuardError ``in-use``, naming the process, if another one works with this guard file now."""
    os.close(_lock_file(path))


def _lock_file(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise GuardError("write-failed", f"cannot open lock file {lock_path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", errors="replace").strip()
        os.close(descriptor)
        raise _in_use(f"guard file {path}", int(holder) if holder.isdigit() else 0) from None
    except OSError as error:
        os.close(descriptor)
        raise GuardError("write-failed", f"cannot lock {lock_path}: {error.strerror}") from error
    with suppress(OSError):  # the number only serves a message; the lock itself holds on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _lock_key(chain: str, public_key: bytes) -> socket.socket:
    name = "\0fedsm-guard-" + bytes(wally.sha256(bytes.fromhex(chain) + public_key)).hex()
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(name)
        holder.listen(_BACKLOG)
    except OSError:
        holder.close()
        raise _in_use(f"key {public_key.hex()}", _listener_pid(name)) from None
    return holder


def _listener_pid(name: str) -> int:
    """The process that listens on an abstract socket, by the kernel's word; 0 if it cannot be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(name)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return 0
    return int(struct.unpack("3i", credentials)[0])


def _in_use(what: str, pid: int) -> GuardError:
    by = f"process {pid}" if pid > 0 else "another process"
    return GuardError("in-use", f"{what} is in use by {by}; one daemon at a time may work with a key")
