"""A member's disk: the guard's own logic on its own tables, in memory. Power may be cut at any moment that matters.

What a transaction wrote is durable once it is committed, as in the guard's file; a power cut before loses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import is_word_of, signature_word
from signers import guard_schema
from signers.guard_codes import GuardError
from signers.guard_rows import Rows
from signers.key_memory import KeyMemory
from states.memory import DraftLocked, LockTaken, Memory, Record, VoteCast

CHAIN = "00" * 32


class PowerCut(Exception):  # noqa: N818 - no error of anybody
    """The member is down from this moment on."""


class Store(Protocol):
    """What a member keeps on disk, whatever keeps it. Every method may raise GuardError.

    ``is_full``, ``cut_after`` and ``garbles`` are its faults, as Disk has them.
    """

    is_full: bool
    cut_after: int | None
    garbles: bool

    def restore(self, height: int) -> Memory:
        """What was recorded at a height."""

    def record(self, records: Sequence[Record]) -> None:
        """Write records together, durably."""

    def sign(self, height: int, block_hash: str, block: bytes) -> bytes:
        """The signature for the block that was recorded as decided."""

    def verifies(self, block_hash: str, signature: bytes) -> bool:
        """Whether it is the key's signature for the block, and no other bytes."""

    def close_height(self, height: int) -> None:
        """Nothing is recorded at or below this height any more."""

    def restart(self) -> None:
        """The member starts again."""

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        """The vote that is durably recorded."""

    def lock(self, height: int) -> LockTaken | None:
        """The lock that is durably recorded."""


class ReissueStore(Store, Protocol):
    """What a member keeps that also reissues assets."""

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        """The drafts of reissuances that are locked for a period."""

    def knows_period(self, due_height: int) -> bool:
        """Whether what was signed in a period must be here."""

    def sign_draft(self, due_height: int, asset: str, draft_id: str) -> tuple[bytes, ...]:
        """The signatures for the draft that is locked; its one digest is its id."""


class WordSigner:
    """Signs with words."""

    def __init__(self, member: int, disk: Disk) -> None:
        self.member = member
        self.public_key = bytes([2]) + member.to_bytes(32, "big")
        self._disk = disk

    def sign_block(self, digest: bytes, _block: bytes) -> bytes:
        """The word for a block hash (32 bytes, internal order)."""
        return b"garbled" if self._disk.garbles else signature_word(self.member, digest[::-1].hex())


class Disk:
    """Keeps one member's guard.

    ``is_full``: nothing can be written. ``cut_after``: power is cut once that many more points were passed; there
    are two in each transaction that writes, just before and just after it becomes durable. ``garbles``: the signer
    gives what is no signature, as a failing token does.
    """

    def __init__(self, member: int) -> None:
        self.signer = WordSigner(member, self)
        self.garbles = False
        self.is_full = False
        self.cut_after: int | None = None
        self._connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        guard_schema.lay_out(self._connection, CHAIN, self.signer.public_key)
        self._open()

    def _open(self) -> None:
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._rows = Rows(self._connection)
        self.restart()

    def restore(self, height: int) -> Memory:
        """See KeyMemory.restore."""
        return self._guard.restore(height)

    def record(self, records: Sequence[Record]) -> None:
        """See KeyMemory.record."""
        self._guard.record(records)

    def sign(self, height: int, block_hash: str, block: bytes) -> bytes:
        """See KeyMemory.sign_block."""
        return self._guard.sign_block(height, block_hash, block, self.signer)

    def verifies(self, block_hash: str, signature: bytes) -> bool:
        """Whether it is the one word for the block."""
        return is_word_of(self.signer.member, block_hash, signature)

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        """See KeyMemory.drafts."""
        return self._guard.drafts(due_height)

    def knows_period(self, due_height: int) -> bool:
        """See KeyMemory.knows_period."""
        return self._guard.knows_period(due_height)

    def sign_draft(self, due_height: int, asset: str, draft_id: str) -> tuple[bytes, ...]:
        """See KeyMemory.sign_draft."""
        return self._guard.sign_draft(asset, due_height, draft_id, [bytes.fromhex(draft_id)[::-1]], self.signer)

    def close_height(self, height: int) -> None:
        """See KeyMemory.close_height."""
        self._guard.close_height(height)

    def restart(self) -> None:
        """A new process on the same file."""
        self.cut_after = None
        self._guard = _Guard(self._connection, self.signer.public_key, self)

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        """Looked up beside the guard's logic."""
        return self._rows.vote(height, round_, kind)

    def lock(self, height: int) -> LockTaken | None:
        """Looked up beside the guard's logic."""
        return self._rows.lock(height)

    def pass_point(self) -> None:
        """A moment before or after a write becomes durable. PowerCut if it is the one."""
        if self.cut_after is not None:
            if self.cut_after == 0:
                raise PowerCut
            self.cut_after -= 1


class _Guard(KeyMemory):
    """The guard of a key on tables in memory."""

    def __init__(self, connection: sqlite3.Connection, public_key: bytes, disk: Disk) -> None:
        super().__init__(CHAIN, public_key)
        self._connection = connection
        self._rows = Rows(connection)
        self._disk = disk

    @contextmanager
    def _access(self) -> Iterator[Rows]:
        connection = self._connection
        before = connection.total_changes
        try:
            with guard_schema.transaction(connection):
                yield self._rows
                is_written = connection.total_changes != before
                if is_written:
                    if self._disk.is_full:
                        raise GuardError("write-failed", "no space left")
                    self._disk.pass_point()
        except guard_schema.FAILURES as error:
            raise Violation("guard-fault", f"{type(error).__name__}: {error}") from error
        if is_written:
            self._disk.pass_point()

    def _verifies(self, digest: bytes, signature: bytes) -> bool:
        return signature == signature_word(self._disk.signer.member, digest[::-1].hex())
