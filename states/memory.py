"""What a member must remember across restarts: the records that the guard stores and gives back."""

from __future__ import annotations

import msgspec

from states.messages import QuorumProof


class VoteCast(msgspec.Struct, frozen=True, tag="vote-cast"):
    """Record: we proposed, prevoted or precommitted this hash (``None``: nil) in (height, round)."""

    kind: str  # "proposal", "prevote" or "precommit"
    height: int
    round: int
    block_hash: str | None


class LockTaken(msgspec.Struct, frozen=True, tag="lock-taken"):
    """Record: we are locked on this block since ``proof.round``; kept whole so that it can be proposed again."""

    height: int
    block_hash: str
    block: bytes
    proof: QuorumProof


class BlockDecided(msgspec.Struct, frozen=True, tag="block-decided"):
    """Record: the certificate for this block was seen; from here on it alone may be signed at this height."""

    height: int
    block_hash: str
    block: bytes
    certificate: QuorumProof


class DraftLocked(msgspec.Struct, frozen=True, tag="draft-locked"):
    """Record: in the period that fell due at ``due_height``, this draft alone may be signed for this asset.

    ``asset`` and ``draft_id`` (the id of the unsigned transaction) are 64 lower-case hex digits in display order;
    ``outpoint`` is the token output that the draft spends, "txid:index"; ``draft`` is the unsigned transaction.
    """

    asset: str
    due_height: int
    draft_id: str
    outpoint: str
    draft: bytes


Record = VoteCast | LockTaken | BlockDecided | DraftLocked


class Memory(msgspec.Struct, frozen=True):
    """The durable marks of one height: votes cast, lock and decision.

    ``fresh``: the guard was empty when it was first asked about a height, this one or a higher one, so that it
    cannot tell what this key had done here until then.
    """

    height: int
    votes: tuple[VoteCast, ...] = ()
    lock: LockTaken | None = None
    decision: BlockDecided | None = None
    fresh: bool = False
