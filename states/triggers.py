"""Which trigger of the round machine an event is; events of a past height or round are none."""

from __future__ import annotations

from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    Event,
    PersistFailed,
    Received,
    ReissueEvent,
    TimerFired,
    TipChanged,
)
from states.messages import (
    BlockRequest,
    BlockSignature,
    Heartbeat,
    Message,
    Precommit,
    Prevote,
    Proposal,
    ReissueMessage,
)

_OF_RESULTS: dict[type, str] = {
    BlockBuilt: "block_built",
    BlockJudged: "block_judged",
    DigestSigned: "digest_signed",
    BlockCombined: "block_combined",
    BlockSubmitted: "block_submitted",
    PersistFailed: "persist_failed",
}
_OF_MESSAGES: dict[type, str] = {
    Proposal: "proposal",
    Prevote: "vote",
    Precommit: "vote",
    BlockSignature: "signature",
    BlockRequest: "block_request",
}


def trigger_of(event: Event, height: int, round_: int) -> str | None:
    """The trigger that ``event`` is for a member working on this height (0: none yet) and round, or ``None``."""
    if isinstance(event, TipChanged):
        return "tip_changed"
    if isinstance(event, Received) and isinstance(event.message, Heartbeat):
        return "heartbeat"
    if isinstance(event, ReissueEvent) or _is_reissue_message(event):
        return "reissuance"  # they belong to periods, not to heights
    if height == 0:
        return None
    if isinstance(event, Received):
        return _of_message(event.message, height)
    if isinstance(event, TimerFired):
        return _of_timer(event, height, round_)
    if event.height != height or (isinstance(event, BlockBuilt) and event.round != round_):
        return None
    return _OF_RESULTS[type(event)]


def _is_reissue_message(event: Event) -> bool:
    return isinstance(event, Received) and isinstance(event.message, ReissueMessage)


def _of_message(message: Message, height: int) -> str | None:
    if message.height > height:
        return "early_message"
    if message.height < height:
        return "late_message"
    return _OF_MESSAGES[type(message)]


def _of_timer(event: TimerFired, height: int, round_: int) -> str | None:
    if event.timer == "resend":
        return "resend_timer"
    if event.timer == "turn":
        return "reissuance"
    if event.height != height:
        return None
    if event.timer in ("slot", "reissue"):
        return f"{event.timer}_timer"
    return "agreement_timer" if event.round == round_ else None
