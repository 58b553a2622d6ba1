"""The memory of one key: what it has voted and signed, and which of it may be written, wherever the rows are kept.

The only way to a signer leads through ``sign_block``, and it signs the one hash that was recorded as decided at its
height. See guard_rules.py for what may be recorded and guard_codes.py for the codes of refusals.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from signers import guard_exchange, guard_rules
from signers.ecdsa import verify_der
from signers.guard_codes import GuardError
from states.memory import DraftLocked, LockTaken, Memory, Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from signers.base import BlockSigner
    from signers.guard_rows import Rows


class KeyMemory(ABC):
    """The guard's logic over rows that ``access`` gives. ``chain`` is the genesis hash (64 hex, display order).

    Every method raises GuardError, with nothing changed.
    """

    def __init__(self, chain: str, public_key: bytes) -> None:
        self.chain = chain
        self.public_key = public_key
        # Held during the signer's call, which may take seconds; the rows are free meanwhile.
        self._signing = threading.Lock()

    @abstractmethod
    def _access(self) -> AbstractContextManager[Rows]:
        """The rows, for one thread at a time, in a transaction that is durable when it is left without error."""

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
        ``vote-against-lock``, ``conflicting-decision``, ``bad-certificate``, ``conflicting-draft``,
        ``old-draft``, ``write-failed``.
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

    def sign_block(self, height: int, block_hash: str, block: bytes, signer: BlockSigner) -> bytes:
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
            if not self._verifies(digest, signature):
                raise GuardError("bad-signature", f"height {height}: it does not verify for {block_hash}")
            with self._access() as rows:
                # The rows were free during the call: the height may be closed by now.
                self._check_signable(rows, height, block_hash)
                rows.add_signature(height, block_hash, signature)
            return signature

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        """The reissuances that were locked in the period of ``due_height``, by asset."""
        guard_rules.check_height(due_height)
        with self._access() as rows:
            return rows.drafts(due_height)

    def knows_period(self, due_height: int) -> bool:
        """Whether what this key signed in a period must be here: it is not when the guard was made later."""
        with self._access() as rows:
            return (rows.height_of("fence") or 0) <= due_height

    def sign_draft(
        self, asset: str, due_height: int, draft_id: str, digests: Sequence[bytes], signer: BlockSigner
    ) -> tuple[bytes, ...]:
        """Signatures (DER) over the inputs' digests of the draft that is locked for an asset and period.

        ``signer`` has the reissuance key, which may be another one than the guard's. Refusals:
        ``draft-not-locked``, ``conflicting-draft``, ``bad-signature``. SignerError passes through.
        """
        with self._access() as rows:
            held = rows.draft(asset, due_height)
        if held is None:
            raise GuardError("draft-not-locked", f"asset {asset} height {due_height}: {draft_id} is not locked")
        if held.draft_id != draft_id:
            raise GuardError(
                "conflicting-draft",
                f"asset {asset} height {due_height}: {held.draft_id} is locked, {draft_id} is not signed",
            )
        signatures = tuple(signer.sign_block(digest, held.draft) for digest in digests)
        for digest, signature in zip(digests, signatures, strict=True):
            ours = signer.public_key == self.public_key
            valid = self._verifies(digest, signature) if ours else verify_der(signer.public_key, digest, signature)
            if not valid:
                raise GuardError("bad-signature", f"asset {asset} height {due_height}: for draft {draft_id}")
        return signatures

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
        ``conflicting-lock``, ``conflicting-decision``, ``conflicting-signature``, ``conflicting-draft``,
        ``write-failed``.
        """
        document = guard_exchange.read(data, self.chain, self.public_key)
        with self._access() as rows:
            guard_exchange.merge(rows, document)

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

    def _verifies(self, digest: bytes, signature: bytes) -> bool:
        """Whether our key made this signature of a block hash (32 bytes, internal order)."""
        return verify_der(self.public_key, digest, signature)
