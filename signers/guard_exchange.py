"""The guard's content as a JSON document, and back: to move a key to another host, or to restore a backup.

Importing only ever adds: a mark is never lowered, and a document that contradicts what the guard holds is refused
as a whole. An old export cannot know what the key did since it was made, so only the last one, taken after the
daemon stopped, moves a key safely in the middle of a height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from signers import guard_rules
from signers.ecdsa import verify_der
from signers.guard_codes import GuardError
from states.memory import BlockDecided, DraftLocked, LockTaken, VoteCast

if TYPE_CHECKING:
    from signers.guard_rows import Rows

EXPORT_VERSION: Final = 2  # 1 had no drafts
KEPT_HEIGHTS: Final = 10_000  # closed heights whose decision and signature are kept


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decided height; ``record`` holds block and certificate while the height is open."""

    height: int
    block_hash: str
    record: BlockDecided | None


class GivenSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature that was given: DER in hex."""

    height: int
    block_hash: str
    signature: str


class GuardExport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document. ``chain`` is the genesis hash (display hex); blocks and envelopes are base64 text."""

    format: Literal["fedsm-guard"]
    version: int
    chain: str
    public_key: str
    mark: int | None
    votes: tuple[VoteCast, ...]
    locks: tuple[LockTaken, ...]
    decisions: tuple[Decision, ...]
    signatures: tuple[GivenSignature, ...]
    drafts: tuple[DraftLocked, ...] = ()


def export(rows: Rows, chain: str, public_key: bytes) -> dict[str, Any]:
    """Everything the guard holds as plain JSON values."""
    document = GuardExport(
        format="fedsm-guard",
        version=EXPORT_VERSION,
        chain=chain,
        public_key=public_key.hex(),
        mark=rows.height_of("mark"),
        votes=tuple(rows.all_votes()),
        locks=tuple(rows.all_locks()),
        decisions=tuple(Decision(*row) for row in rows.all_decisions()),
        signatures=tuple(GivenSignature(height, name, der.hex()) for height, name, der in rows.all_signatures()),
        drafts=tuple(rows.all_drafts()),
    )
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def read(data: object, chain: str, public_key: bytes) -> GuardExport:
    """A document for this chain and key, checked in itself. Raises GuardError."""
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > EXPORT_VERSION:
        raise GuardError("newer-version", f"the export has version {version}, this fedsm knows {EXPORT_VERSION}")
    try:
        document = msgspec.convert(data, GuardExport)
    except msgspec.ValidationError as error:
        raise GuardError("malformed", f"not a guard export: {error}") from None
    if document.chain != chain:
        raise GuardError("wrong-chain", f"the export is of chain {document.chain}, not {chain}")
    if document.public_key != public_key.hex():
        raise GuardError("wrong-key", f"the export is of key {document.public_key}, not {public_key.hex()}")
    for draft in document.drafts:
        guard_rules.check_draft(draft)
    _check_open_heights(document)
    _check_signatures(document, public_key)
    return document


def merge(rows: Rows, document: GuardExport) -> None:
    """Add a document to what the guard holds; the caller's transaction undoes all of it on GuardError."""
    mark = max(rows.height_of("mark") or 0, document.mark or 0)
    _merge_open_heights(rows, document, mark)
    oldest_kept = mark - KEPT_HEIGHTS + 1
    for decision in document.decisions:
        if decision.height >= oldest_kept:
            record = decision.record if decision.height > mark else None
            guard_rules.add_decision(rows, decision.height, decision.block_hash, record)
    for given in document.signatures:
        if given.height >= oldest_kept and not check_signature(rows, given.height, given.block_hash):
            rows.add_signature(given.height, given.block_hash, bytes.fromhex(given.signature))
    _merge_drafts(rows, document)
    if document.mark is not None:
        rows.set_meta("mark", str(mark))
        rows.prune(mark, oldest_kept)
    if document.mark is not None or document.votes or document.locks or document.decisions or document.drafts:
        rows.set_meta("fence", "0")  # we know now what this key has done


def _merge_drafts(rows: Rows, document: GuardExport) -> None:
    """Add later periods than we hold; of a period that both hold the locks must be the same."""
    for draft in sorted(document.drafts, key=lambda draft: draft.due_height):
        latest = rows.latest_draft(draft.asset)
        is_later = latest is None or latest.due_height < draft.due_height
        if is_later or rows.draft(draft.asset, draft.due_height) is not None:
            guard_rules.add_draft(rows, draft)


def _merge_open_heights(rows: Rows, document: GuardExport, mark: int) -> None:
    for vote in document.votes:
        if vote.height > mark:
            guard_rules.add_vote(rows, vote)
    for lock in document.locks:
        held = rows.lock(lock.height)
        guard_rules.check_lock_moves(held, lock)
        if lock.height > mark and (held is None or held.proof.round < lock.proof.round):
            rows.set_lock(lock)


def check_signature(rows: Rows, height: int, block_hash: str) -> bool:
    """Whether this block was signed already; GuardError ``conflicting-signature`` if another one was."""
    signed = rows.signature(height)
    if signed is not None and signed[0] != block_hash:
        raise GuardError(
            "conflicting-signature", f"height {height} signature: {signed[0]} was signed, not {block_hash}"
        )
    return signed is not None


def _check_open_heights(document: GuardExport) -> None:
    mark = document.mark or 0
    if mark < 0:
        raise GuardError("malformed", f"the export has mark {mark}")
    locks = {lock.height: lock for lock in document.locks}
    records: list[VoteCast | LockTaken] = [*document.votes, *document.locks]
    for record in records:
        guard_rules.check_form(record)
        if record.height <= mark:
            raise GuardError("malformed", f"the export speaks of height {record.height}, closed by mark {mark}")
    for vote in document.votes:
        if vote.kind == "precommit" and vote.block_hash is not None and not _covers(locks.get(vote.height), vote):
            raise GuardError("malformed", f"height {vote.height} round {vote.round} precommit: its lock is missing")
    for decision in document.decisions:
        _check_decision(decision, mark)


def _covers(lock: LockTaken | None, vote: VoteCast) -> bool:
    """Whether a lock is the one a precommit needed, or a later one."""
    if lock is None or lock.proof.round < vote.round:
        return False
    return lock.proof.round > vote.round or lock.block_hash == vote.block_hash


def _check_decision(decision: Decision, mark: int) -> None:
    guard_rules.check_height(decision.height)
    guard_rules.check_hash(decision.block_hash)
    record = decision.record
    if record is None:
        if decision.height > mark:
            raise GuardError("malformed", f"height {decision.height} decision: block and certificate are missing")
    else:
        guard_rules.check_form(record)
        if (record.height, record.block_hash) != (decision.height, decision.block_hash):
            raise GuardError("malformed", f"height {decision.height} decision: its record is of another block")


def _check_signatures(document: GuardExport, public_key: bytes) -> None:
    decided = {decision.height: decision.block_hash for decision in document.decisions}
    for given in document.signatures:
        if decided.get(given.height) != given.block_hash:
            raise GuardError("malformed", f"height {given.height} signature: its decision is missing")
        digest = bytes.fromhex(given.block_hash)[::-1]
        try:
            der = bytes.fromhex(given.signature)
        except ValueError:
            der = b""
        if not verify_der(public_key, digest, der):
            raise GuardError("malformed", f"height {given.height} signature: it does not verify")
