"""Signing once: what this key has voted and signed, on disk before any of it leaves the process.

key_memory.py says what may be written and signed; this is the file it is kept in. What is written is durable
(SQLite, WAL, synchronous=FULL) before a call returns, so after a crash the same votes and the same signature are
given again, and others never.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from signers import guard_rules, guard_schema
from signers.guard_codes import GuardError
from signers.guard_lock import ExclusiveUse, check_unused
from signers.guard_rows import Rows
from signers.key_memory import KeyMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Guard", "GuardError"]


class Guard(KeyMemory):
    """The memory of one key on one chain. Made by ``open``; every method may be called from any thread.

    Every method raises GuardError, with nothing changed. After a ``write-failed`` the guard goes on as soon as
    the file can be written again; after a ``corrupt`` it refuses everything.
    """

    def __init__(self, path: Path, chain: str, public_key: bytes, use: ExclusiveUse) -> None:
        super().__init__(chain, public_key)
        self.path = path
        self._use = use
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._damage: GuardError | None = None
        self._closed = False
        if not path.exists():
            guard_schema.create(path, chain, public_key)
        self._connection = guard_schema.connect(path, chain, public_key)
        self._rows = Rows(self._connection)
        self._files = self._identities()

    @classmethod
    def open(cls, path: Path, chain: str, public_key: bytes) -> Guard:
        """Open the guard file of this key, or make one. ``chain`` is the genesis hash (64 hex, display order).

        Raises GuardError: ``in-use``, ``corrupt``, ``wrong-chain``, ``wrong-key``, ``newer-version``,
        ``write-failed``.
        """
        guard_rules.check_hash(chain)
        # The lock must be on the real file, whatever links lead to it.
        path = path.resolve()
        use = ExclusiveUse(path, chain, public_key)
        try:
            return cls(path, chain, public_key, use)
        except BaseException:
            use.release()
            raise

    @classmethod
    def open_existing(cls, path: Path) -> Guard:
        """Open the guard file at ``path`` for whatever chain and key it belongs to (for tools, not for daemons).

        Raises GuardError as ``open`` does, and ``write-failed`` if there is no such file.
        """
        path = path.resolve()
        if not path.exists():
            raise GuardError("write-failed", f"there is no guard file {path}")
        check_unused(path)
        chain, public_key = guard_schema.owner(path)
        return cls.open(path, chain, public_key)

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give up the locks; a signature still being made will not be given out."""
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                self._closed = True
                guard_schema.disconnect(self._connection, self.path)
                self._use.release()

    # --- inside

    @contextmanager
    def _access(self) -> Iterator[Rows]:
        with self._lock:
            self._check_usable()
            try:
                with guard_schema.transaction(self._connection):
                    yield self._rows
            except guard_schema.FAILURES as error:
                refusal = guard_schema.explain(self.path, error)
                if refusal.code == "corrupt":
                    self._damage = refusal
                raise refusal from error

    def _check_usable(self) -> None:
        if self._closed:
            raise GuardError("closed", f"guard file {self.path} has been closed")
        if self._damage is not None:
            raise GuardError(self._damage.code, self._damage.message)
        if os.getpid() != self._process:
            raise GuardError("in-use", f"guard file {self.path} is in use by process {self._process}, our parent")
        if self._identities() != self._files:
            raise GuardError(
                "write-failed", f"guard file {self.path} was moved or replaced while in use; nothing was written"
            )

    def _identities(self) -> tuple[tuple[int, int], ...]:
        """Device and inode of the file and its log: what is written must be what a restart will find."""
        try:
            found = [self.path.with_name(self.path.name + suffix).stat() for suffix in ("", "-wal")]
        except FileNotFoundError:
            return ()
        return tuple((status.st_dev, status.st_ino) for status in found)
