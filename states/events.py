"""What goes into the machines. Each event is a fact that the engine has already checked or measured.

Messages arrive decoded, authenticated and, where they carry block signatures or quorum proofs, verified;
the outcome of every effect comes back as one of these, never as an exception.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from states.memory import DraftLocked, Memory
from states.messages import Message

TimerName = Literal["slot", "propose", "prevote", "precommit", "resend", "reissue", "turn"]
Verdict = Literal["valid", "invalid", "unavailable"]
Outcome = Literal["accepted", "duplicate", "fork", "rejected", "unavailable"]


class TipChanged(msgspec.Struct, frozen=True, tag="tip-changed"):
    """The member's node has a new best block (also sent once at start).

    ``first_block_time`` is the header time of block 1 in seconds, ``None`` while the chain has none: from it
    the chain's schedule follows. ``now_ms`` is the member's wall clock in milliseconds since the Unix epoch.
    ``memory`` is what the guard holds of the height that now opens (``height`` + 1).
    """

    height: int
    block_hash: str
    first_block_time: int | None
    now_ms: int
    memory: Memory


class TimerFired(msgspec.Struct, frozen=True, tag="timer-fired"):
    """A timer set for (height, round) has run out; ``now_ms`` is the member's wall clock."""

    timer: TimerName
    height: int
    round: int
    now_ms: int


class Received(msgspec.Struct, frozen=True, tag="received"):
    """A verified message of ``sender``, with the signed envelope it came in (our own come this way too)."""

    sender: int
    message: Message
    envelope: bytes
    now_ms: int


class BlockBuilt(msgspec.Struct, frozen=True, tag="block-built"):
    """The node's answer to RequestBlock; ``block`` is ``None`` with a ``reason`` when it gave none."""

    height: int
    round: int
    block_hash: str | None
    block: bytes | None
    reason: str = ""


class BlockJudged(msgspec.Struct, frozen=True, tag="block-judged"):
    """The verdict of the member's own node and own rules on a block; ``reason`` says why not.

    ``timely`` repeats the question: whether the clock window was part of the judgement.
    """

    height: int
    block_hash: str
    timely: bool
    verdict: Verdict
    reason: str = ""


class DigestSigned(msgspec.Struct, frozen=True, tag="digest-signed"):
    """The signer's answer to SignDigest; ``signature`` is verified DER, or ``None`` with a ``reason``."""

    height: int
    block_hash: str
    signature: bytes | None
    reason: str = ""


class BlockCombined(msgspec.Struct, frozen=True, tag="block-combined"):
    """The complete block with M signatures, or ``None`` with a ``reason``."""

    height: int
    block_hash: str
    block: bytes | None
    reason: str = ""


class BlockSubmitted(msgspec.Struct, frozen=True, tag="block-submitted"):
    """The node's answer to SubmitBlock. ``fork``: valid and stored, but another block holds the height."""

    height: int
    block_hash: str
    outcome: Outcome
    reason: str = ""


class PersistFailed(msgspec.Struct, frozen=True, tag="persist-failed"):
    """The guard did not write: nothing that followed the Persist in its list was done. ``code`` is stable."""

    height: int
    round: int
    code: str
    reason: str = ""


class ReissueItem(msgspec.Struct, frozen=True):
    """One asset that is due: by how many satoshi, and what is known of its reissuance in this period.

    ``confirmed``: the chain shows it. ``locked``: the draft that our guard holds for it. ``objection`` says why we
    may not sign it (empty when we may), beginning with a stable code.
    """

    asset: str
    amount: int
    confirmed: bool = False
    locked: DraftLocked | None = None
    objection: str = ""


class ReissuePlanned(msgspec.Struct, frozen=True, tag="reissue-planned"):
    """What is due since ``due_height`` by our own node; ``None`` with a ``reason`` when it cannot be told yet."""

    due_height: int
    items: tuple[ReissueItem, ...] | None
    reason: str = ""


class DraftMade(msgspec.Struct, frozen=True, tag="draft-made"):
    """Our own draft, as the lock of it would be recorded, or ``None`` with a ``reason``."""

    due_height: int
    asset: str
    draft: DraftLocked | None
    reason: str = ""


class DraftJudged(msgspec.Struct, frozen=True, tag="draft-judged"):
    """The verdict of our own rules on the draft that the member ``sender`` put forward.

    ``outpoint`` is the token output that it spends if it is valid.
    """

    due_height: int
    asset: str
    draft_id: str
    sender: int
    verdict: Verdict
    outpoint: str = ""
    reason: str = ""


class DraftSigned(msgspec.Struct, frozen=True, tag="draft-signed"):
    """Our verified signatures for a draft, one for each input, or ``None`` with a ``reason``."""

    due_height: int
    asset: str
    draft_id: str
    signatures: tuple[bytes, ...] | None
    reason: str = ""


class DraftCombined(msgspec.Struct, frozen=True, tag="draft-combined"):
    """The complete transaction; or ``None``, with the members whose signatures are invalid, or a ``reason``."""

    due_height: int
    asset: str
    draft_id: str
    transaction: bytes | None
    invalid: tuple[int, ...] = ()
    reason: str = ""


class ReissuanceSent(msgspec.Struct, frozen=True, tag="reissuance-sent"):
    """Our node's answer to the complete transaction; ``duplicate``: it, or what spends the same, is there."""

    due_height: int
    asset: str
    draft_id: str
    outcome: Outcome
    reason: str = ""


class ReissuanceSeen(msgspec.Struct, frozen=True, tag="reissuance-seen"):
    """Where our node sees the reissuance of a period; ``unknown`` when it cannot be asked.

    ``pending``: in the mempool.
    """

    due_height: int
    asset: str
    status: Literal["confirmed", "pending", "absent", "unknown"]
    detail: str = ""


ReissueEvent = (
    ReissuePlanned | DraftMade | DraftJudged | DraftSigned | DraftCombined | ReissuanceSent | ReissuanceSeen
)
Event = (
    TipChanged
    | TimerFired
    | Received
    | BlockBuilt
    | BlockJudged
    | DigestSigned
    | BlockCombined
    | BlockSubmitted
    | PersistFailed
    | ReissueEvent
)
