"""What comes out of the machines: orders to the engine, carried out in list order.

Contract with the engine: a Persist is durable before any effect after it in the list is begun; if it fails,
the rest of the list is dropped and PersistFailed comes back. Every other effect may run at leisure; its result
comes back as an event and the machines take other events meanwhile.
"""

from __future__ import annotations

import msgspec

from states.events import TimerName
from states.memory import Record
from states.messages import Message

# A result that has not come by then (in resend intervals) is not coming: the effect is ordered again.
PATIENCE_RESENDS = 30


class Persist(msgspec.Struct, frozen=True, tag="persist"):
    """Write these records to the guard, together and durably, before going on."""

    records: tuple[Record, ...]


class Broadcast(msgspec.Struct, frozen=True, tag="broadcast"):
    """Seal this message in an envelope, send it to all, and deliver it to ourselves as Received."""

    message: Message


class Relay(msgspec.Struct, frozen=True, tag="relay"):
    """Send these envelopes again as they are (our own or others': each carries its author's signature)."""

    envelopes: tuple[bytes, ...]


class RequestBlock(msgspec.Struct, frozen=True, tag="request-block"):
    """Have our node build a block on ``parent`` for (height, round); answered by BlockBuilt."""

    height: int
    round: int
    parent: str


class ValidateBlock(msgspec.Struct, frozen=True, tag="validate-block"):
    """Have our node and our own rules judge a block; answered by BlockJudged.

    ``timely`` asks for the clock window too; it is off for a block with a proof-of-lock, which Q members
    found timely when it was new.
    """

    height: int
    block_hash: str
    block: bytes
    timely: bool


class SignDigest(msgspec.Struct, frozen=True, tag="sign-digest"):
    """Sign the decided block through the guard; answered by DigestSigned."""

    height: int
    block_hash: str
    block: bytes


class CombineBlock(msgspec.Struct, frozen=True, tag="combine-block"):
    """Put M member signatures (member, DER) into the block in key order; answered by BlockCombined."""

    height: int
    block_hash: str
    block: bytes
    signatures: tuple[tuple[int, bytes], ...]


class SubmitBlock(msgspec.Struct, frozen=True, tag="submit-block"):
    """Give the complete block to our node; answered by BlockSubmitted and, once it is the tip, TipChanged."""

    height: int
    block_hash: str
    block: bytes


class PlanReissuance(msgspec.Struct, frozen=True, tag="plan-reissuance"):
    """Work out what is due since ``due_height``, by our node and our guard; answered by ReissuePlanned."""

    due_height: int


class MakeDraft(msgspec.Struct, frozen=True, tag="make-draft"):
    """Make the transaction that reissues an asset; answered by DraftMade."""

    due_height: int
    asset: str


class JudgeDraft(msgspec.Struct, frozen=True, tag="judge-draft"):
    """Judge the draft of the member ``sender`` by our own node and rules; answered by DraftJudged.

    The id is what the sender calls it.
    """

    due_height: int
    asset: str
    draft_id: str
    sender: int
    draft: bytes


class SignDraft(msgspec.Struct, frozen=True, tag="sign-draft"):
    """Sign every input of the draft that is locked, through the guard; answered by DraftSigned."""

    due_height: int
    asset: str
    draft_id: str
    draft: bytes


class CombineDraft(msgspec.Struct, frozen=True, tag="combine-draft"):
    """Verify members' signatures and put M of them into every input; answered by DraftCombined.

    ``signatures``: member, and its signatures in the order of the inputs.
    """

    due_height: int
    asset: str
    draft_id: str
    draft: bytes
    signatures: tuple[tuple[int, tuple[bytes, ...]], ...]


class SendReissuance(msgspec.Struct, frozen=True, tag="send-reissuance"):
    """Give a complete transaction to our node; answered by ReissuanceSent."""

    due_height: int
    asset: str
    draft_id: str
    transaction: bytes


class CheckReissuance(msgspec.Struct, frozen=True, tag="check-reissuance"):
    """See where the reissuance of an asset in a period stands; answered by ReissuanceSeen."""

    due_height: int
    asset: str


class SetTimer(msgspec.Struct, frozen=True, tag="set-timer"):
    """(Re)start the named timer; it comes back as TimerFired after ``delay_ms``. One timer per name."""

    timer: TimerName
    height: int
    round: int
    delay_ms: int


class Report(msgspec.Struct, frozen=True, tag="report"):
    """Something an operator or auditor should know. ``code`` is stable; ``member`` is whom it concerns.

    ``evidence`` holds signed envelopes that prove it (two, for an equivocation).
    """

    code: str
    height: int
    round: int
    member: int | None = None
    detail: str = ""
    evidence: tuple[bytes, ...] = ()


ReissueOrder = PlanReissuance | MakeDraft | JudgeDraft | SignDraft | CombineDraft | SendReissuance | CheckReissuance
Effect = (
    Persist
    | Broadcast
    | Relay
    | RequestBlock
    | ValidateBlock
    | SignDigest
    | CombineBlock
    | SubmitBlock
    | ReissueOrder
    | SetTimer
    | Report
)
