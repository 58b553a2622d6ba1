"""What may be recorded: the rules of voting and deciding, checked against what the guard file holds.

They are the parts of the agreement's safety that can be judged from our own memory, so that a fault in the core or
a restart at a bad moment cannot break them:

- one vote for each (height, round, kind), and nothing at a closed height;
- no vote for a block in a round before one we prevoted or precommitted in: votes only move forward;
- a precommit for a block comes with the lock on it, and a lock only moves to a later round;
- one decision for each height, by a certificate for it, and no vote for another block afterwards.

Reissuance has a rule of the same kind: one draft for each asset and period, periods only move forward, and a token
output serves one asset. Drafts of one asset in two periods may spend one output: at most one of them can confirm.

A prevote for another block than the locked one is not refused: Tendermint allows it against a proof of Q prevotes
in a later round than the lock. Whether such a proof was shown is not in the record, so the core decides; the lock
itself can move only with a proof, which is checked here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from signers.guard_codes import GuardError
from states.memory import BlockDecided, DraftLocked, LockTaken, Record, VoteCast

if TYPE_CHECKING:
    from signers.guard_rows import Rows

MAX_NUMBER = 2**32 - 1  # heights and rounds; headers hold heights in 32 bits
_HASH = re.compile(r"[0-9a-f]{64}")
_KINDS = ("proposal", "prevote", "precommit")
_OUTPOINT = re.compile(r"[0-9a-f]{64}:[0-9]{1,10}")


def apply(rows: Rows, record: Record) -> None:
    """Check one record and write it; nothing is written if it is there already. Raises GuardError."""
    check_form(record)
    if isinstance(record, DraftLocked):
        add_draft(rows, record)
        return
    mark = rows.height_of("mark")
    if mark is not None and record.height <= mark:
        raise GuardError("below-mark", f"height {record.height} is closed (mark {mark})")
    if isinstance(record, VoteCast):
        _apply_vote(rows, record)
    elif isinstance(record, LockTaken):
        _apply_lock(rows, record)
    else:
        add_decision(rows, record.height, record.block_hash, record)


def check_form(record: Record) -> None:
    """Whether a record is well formed in itself. Raises GuardError ``malformed`` or ``bad-certificate``."""
    if isinstance(record, DraftLocked):
        check_draft(record)
        return
    check_height(record.height)
    if isinstance(record, VoteCast):
        if record.kind not in _KINDS or not 0 <= record.round <= MAX_NUMBER:
            raise GuardError("malformed", f"no such vote: {record.kind!r} in round {record.round}")
        if record.block_hash is None and record.kind != "proposal":
            return
    check_hash(record.block_hash)
    if isinstance(record, LockTaken) and not _proves(record):
        raise GuardError("malformed", f"height {record.height}: the lock's proof is not of prevotes for its block")
    if isinstance(record, BlockDecided) and not _proves(record):
        raise GuardError(
            "bad-certificate",
            f"height {record.height}: the certificate is not of precommits for {record.block_hash}",
        )


def check_height(height: int) -> None:
    """Heights that are voted on run from 1; block 0 is the genesis block. Raises GuardError ``malformed``."""
    if not 1 <= height <= MAX_NUMBER:
        raise GuardError("malformed", f"no such height: {height}")


def check_hash(block_hash: str | None) -> None:
    """Block hashes are 64 lower-case hex digits. Raises GuardError ``malformed``."""
    if block_hash is None or not _HASH.fullmatch(block_hash):
        raise GuardError("malformed", f"not a block hash: {block_hash!r}")


def add_vote(rows: Rows, vote: VoteCast) -> None:
    """Write a vote unless it is there; refuse another one in its place."""
    cast = rows.vote(vote.height, vote.round, vote.kind)
    if cast is None:
        rows.add_vote(vote)
    elif cast.block_hash != vote.block_hash:
        raise GuardError(
            "conflicting-vote",
            f"{_where(vote)}: we voted for {_named(cast.block_hash)}, not for {_named(vote.block_hash)}",
        )


def check_lock_moves(held: LockTaken | None, lock: LockTaken) -> None:
    """A lock holds one block in a round. Raises GuardError ``conflicting-lock``."""
    if held is not None and held.proof.round == lock.proof.round and held.block_hash != lock.block_hash:
        raise GuardError(
            "conflicting-lock",
            f"height {lock.height} round {lock.proof.round} lock: held on {held.block_hash}, not {lock.block_hash}",
        )


def add_decision(rows: Rows, height: int, block_hash: str, record: BlockDecided | None) -> None:
    """Write a decision unless it is there; refuse another one in its place."""
    decided = rows.decided_hash(height)
    if decided is None:
        rows.add_decision(height, block_hash, record)
    elif decided != block_hash:
        raise GuardError(
            "conflicting-decision", f"height {height} decision: {decided} is decided, not {block_hash}"
        )


def check_draft(draft: DraftLocked) -> None:
    """Whether a lock of a reissuance is well formed. Raises GuardError ``malformed``."""
    check_height(draft.due_height)
    for name in (draft.asset, draft.draft_id):
        if not _HASH.fullmatch(name):
            raise GuardError("malformed", f"not an asset or transaction id: {name!r}")
    if not _OUTPOINT.fullmatch(draft.outpoint):
        raise GuardError("malformed", f"not an outpoint: {draft.outpoint!r}")


def add_draft(rows: Rows, draft: DraftLocked) -> None:
    """Write the lock of a reissuance unless it is there; refuse another one in its place or before the latest."""
    where = f"asset {draft.asset} height {draft.due_height}"
    held = rows.draft(draft.asset, draft.due_height)
    if held is not None:
        if (held.draft_id, held.outpoint) != (draft.draft_id, draft.outpoint):
            raise GuardError("conflicting-draft", f"{where}: {held.draft_id} is locked, not {draft.draft_id}")
        return
    latest = rows.latest_draft(draft.asset)
    if latest is not None and latest.due_height > draft.due_height:
        raise GuardError("old-draft", f"{where}: a draft of height {latest.due_height} is locked already")
    owner = rows.asset_of(draft.outpoint)
    if owner not in (None, draft.asset):
        raise GuardError("conflicting-draft", f"token output {draft.outpoint} is locked to asset {owner}")
    rows.add_draft(draft)


def _apply_vote(rows: Rows, vote: VoteCast) -> None:
    if rows.vote(vote.height, vote.round, vote.kind) is None and vote.block_hash is not None:
        decided = rows.decided_hash(vote.height)
        if decided not in (None, vote.block_hash):
            raise GuardError(
                "conflicting-decision", f"{_where(vote)}: {decided} is decided, no vote for {vote.block_hash}"
            )
        if vote.kind != "proposal":
            _check_round(rows, vote)
        if vote.kind == "precommit":
            _check_locked(rows.lock(vote.height), vote)
    add_vote(rows, vote)


def _check_round(rows: Rows, vote: VoteCast) -> None:
    latest = max((cast.round for cast in rows.votes(vote.height) if cast.kind != "proposal"), default=0)
    if vote.round < latest:
        raise GuardError("old-round", f"{_where(vote)}: we voted in round {latest} already")


def _check_locked(lock: LockTaken | None, vote: VoteCast) -> None:
    if lock is None:
        raise GuardError("vote-against-lock", f"{_where(vote)}: no lock was taken on {vote.block_hash}")
    if (lock.proof.round, lock.block_hash) != (vote.round, vote.block_hash):
        raise GuardError(
            "vote-against-lock",
            f"{_where(vote)}: the lock is on {lock.block_hash} since round {lock.proof.round},"
            f" not on {vote.block_hash} in round {vote.round}",
        )


def _apply_lock(rows: Rows, lock: LockTaken) -> None:
    held = rows.lock(lock.height)
    check_lock_moves(held, lock)
    if held is None or held.proof.round < lock.proof.round:
        rows.set_lock(lock)
    elif held.proof.round > lock.proof.round:
        raise GuardError(
            "conflicting-lock",
            f"height {lock.height} round {lock.proof.round} lock: held since the later round {held.proof.round}",
        )


def _proves(record: LockTaken | BlockDecided) -> bool:
    if isinstance(record, LockTaken):
        proof, vote = record.proof, "prevote"
    else:
        proof, vote = record.certificate, "precommit"
    return (
        proof.vote == vote
        and proof.height == record.height
        and proof.block_hash == record.block_hash
        and 0 <= proof.round <= MAX_NUMBER
    )


def _where(vote: VoteCast) -> str:
    return f"height {vote.height} round {vote.round} {vote.kind}"


def _named(block_hash: str | None) -> str:
    return "nil" if block_hash is None else block_hash
