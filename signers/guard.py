"""Signing once: what this key has voted and signed, on disk before any of it leaves the process.

The only way to a signer leads through ``Guard.sign_block``, and it signs the one hash that was recorded as
decided at its height. What is written is durable (SQLite, WAL, synchronous=FULL) before a call returns, so after
a crash the same votes and the same signature are given again, and others never. See guard_rules.py for what may
be recorded and guard_codes.py for the codes of refusals.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from signers import guard_exchange, guard_rules, guard_schema
from signers.ecdsa import verify_der
from signers.guard_codes import GuardError
from signers.guard_lock import ExclusiveUse, check_unused
from signers.guard_rows import Rows
from states.memory import LockTaken, Memory, Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from signers.base import Signer

__all__ = ["Guard", "GuardError"]


class Guard:
    """The memory of one key on one chain. Made by ``open``; every method may be called from any thread.

    Every method raises GuardError, with nothing changed. After a ``write-failed`` the guard goes on as soon as
    the file can be written again; after a ``corrupt`` it refuses everything.
    """

    def __init__(self, path: Path, chain: str, public_key: bytes, use: ExclusiveUse) -> None:
        self.path = path
        self.chain = chain
        self.public_key = public_key
        self._use = use
        self._lock = threading.Lock()
        # Held during the signer's call, which may take seconds; the file's lock is not.
        self._signing = threading.Lock()
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

    @property
    def is_empty(self) -> bool:
        """Whether no vote, lock, decision, signature or mark was ever written or imported."""
        with self._access() as rows:
            return rows.is_empty()

    @property
    def mark(self) -> int | None:
        """The highest closed height; ``None`` before the first ``close_height``."""
        with self._access() as rows:
            return rows.height_of("mark")

    def record(self, records: Sequence[Record]) -> None:
        """Write records together, durably; equal ones may be written again.

        Refusals: ``malformed``, ``below-mark``, ``old-round``, ``conflicting-vote``, ``conflicting-lock``,
        ``vote-against-lock``, ``conflicting-decision``, ``bad-certificate``, ``write-failed``.
        """
        with self._access() as rows:
            # A precommit may stand before the lock that it needs.
            for record in sorted(records, key=lambda record: not isinstance(record, LockTaken)):
                guard_rules.apply(rows, record)

    def restore(self, height: int) -> Memory:
        """What was recorded at a height (nothing for a closed one).

        ``fresh``: this is the first height that an empty guard saw, and no vote was cast at it. That height is
        remembered too, so that a restart at it does not turn ignorance into knowledge.
        """
        guard_rules.check_height(height)
        with self._access() as rows:
            fence = rows.height_of("fence") or 0
            if fence < height and rows.is_empty():
                rows.set_meta("fence", str(height))
                fence = height
            votes = rows.votes(height)
            return Memory(
                height=height,
                votes=votes,
                lock=rows.lock(height),
                decision=rows.decision(height),
                fresh=height <= fence and not votes,
            )

    def sign_block(self, height: int, block_hash: str, block: bytes, signer: Signer) -> bytes:
        """The signature (DER) for the decided block of a height: the one given before, or a new one.

        It is stored before it is returned. Refusals: ``not-decided``, ``conflicting-decision``,
        ``conflicting-signature``, ``below-mark``, ``wrong-key``, ``bad-signature``, ``write-failed``. SignerError
        passes through.
        """
        guard_rules.check_height(height)
        if signer.public_key != self.public_key:
            theirs, ours = signer.public_key.hex(), self.public_key.hex()
            raise GuardError("wrong-key", f"the signer has key {theirs}, not {ours}")
        given = self._given(height, block_hash)
        if given is not None:
            return given
        with self._signing:
            given = self._given(height, block_hash)
            if given is not None:
                return given
            digest = bytes.fromhex(block_hash)[::-1]
            signature = signer.sign_block(digest, block)
            if not verify_der(self.public_key, digest, signature):
                raise GuardError("bad-signature", f"height {height}: it does not verify for {block_hash}")
            with self._access() as rows:
                # The file's lock was free during the call: the height may be closed by now.
                self._check_signable(rows, height, block_hash)
                rows.add_signature(height, block_hash, signature)
            return signature

    def close_height(self, height: int) -> None:
        """Nothing is recorded or newly signed at or below this height any more; its votes and blocks are dropped.

        Decisions and signatures of the last 10000 heights are kept. A lower height than before changes nothing.
        """
        if not 0 <= height <= guard_rules.MAX_NUMBER:
            raise GuardError("malformed", f"no such height: {height}")
        with self._access() as rows:
            mark = rows.height_of("mark")
            if mark is not None and height <= mark:
                return
            if rows.is_empty() and rows.height_of("fence") is None:
                rows.set_meta("fence", str(height + 1))
            rows.set_meta("mark", str(height))
            rows.prune(height, height - guard_exchange.KEPT_HEIGHTS + 1)

    def export(self) -> dict[str, Any]:
        """Everything as a JSON-able document (see guard_exchange.GuardExport)."""
        with self._access() as rows:
            return guard_exchange.export(rows, self.chain, self.public_key)

    def import_(self, data: object) -> None:
        """Add an exported document, all of it or nothing; no mark is ever lowered.

        Refusals: ``malformed``, ``newer-version``, ``wrong-chain``, ``wrong-key``, ``conflicting-vote``,
        ``conflicting-lock``, ``conflicting-decision``, ``conflicting-signature``, ``write-failed``.
        """
        document = guard_exchange.read(data, self.chain, self.public_key)
        with self._access() as rows:
            guard_exchange.merge(rows, document)

    def close(self) -> None:
        """Close the file and give up the locks; a signature still being made will not be given out."""
        with self._lock:
            if not self._closed and os.getpid() == self._process:
                self._closed = True
                guard_schema.disconnect(self._connection, self.path)
                self._use.release()

    # --- inside

    def _given(self, height: int, block_hash: str) -> bytes | None:
        """The stored signature of a block; GuardError if there is none and none may be made."""
        with self._access() as rows:
            if guard_exchange.check_signature(rows, height, block_hash):
                signed = rows.signature(height)
                return None if signed is None else signed[1]
            self._check_signable(rows, height, block_hash)
            return None

    def _check_signable(self, rows: Rows, height: int, block_hash: str) -> None:
        mark = rows.height_of("mark")
        if mark is not None and height <= mark:
            raise GuardError("below-mark", f"height {height} is closed (mark {mark})")
        decided = rows.decided_hash(height)
        if decided is None:
            raise GuardError("not-decided", f"height {height}: nothing is decided, {block_hash} is not signed")
        if decided != block_hash:
            raise GuardError(
                "conflicting-decision", f"height {height}: {decided} is decided, {block_hash} is not signed"
            )

    @contextmanager
    def _access(self) -> Iterator[Rows]:
        """The rows, in one transaction and for one thread at a time."""
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
