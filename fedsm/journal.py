"""Turns what the machines do into log lines with stable event names."""

from __future__ import annotations

from structlog.contextvars import bind_contextvars

from fedsm.log import Logger
from states.effects import Report
from states.events import TipChanged
from states.round import Round

# Reports that concern the operator, by their level; all others are routine.
LEVELS = {
    "abstaining": "warning",
    "bad-certificate": "error",
    "bad-lock-proof": "error",
    "block-refused": "warning",
    "bad-reissue-signature": "error",
    "combination-failed": "error",
    "double-signature": "error",
    "draft-not-combined": "error",
    "draft-not-judged": "warning",
    "draft-refused": "error",
    "draft-signing-failed": "warning",
    "equivocation": "error",
    "fork": "error",
    "no-block-built": "warning",
    "no-draft-made": "warning",
    "other-draft": "warning",
    "persist-failed": "error",
    "reissuance-deferred": "error",
    "reissuance-not-planned": "warning",
    "reissuance-not-signed": "warning",
    "reissuance-refused": "error",
    "reissuance-undone": "warning",
    "rival-drafts": "error",
    "round-failed": "warning",
    "signing-failed": "error",
    "submission-delayed": "warning",
    "submission-refused": "error",
    "submitted-fork": "error",
    "too-early": "debug",
    "wrong-proposer": "warning",
}


class Journal:
    """Logs state changes, reports and accepted blocks of one member's machines."""

    def __init__(self, core: Round, log: Logger) -> None:
        self._core = core
        self._log = log
        self._state = core.state
        self._place = (0, 0)

    def states(self) -> None:
        """Log the round machine's state if it changed; every line of this thread is bound to height and round."""
        place = (self._core.height, self._core.round)
        if place != self._place:
            self._place = place
            bind_contextvars(height=place[0], round=place[1])
        if self._core.state != self._state:
            self._state = self._core.state
            self._log.info("state", state=self._state, height=self._core.height, round=self._core.round)

    def report(self, report: Report) -> None:
        """Log a report under its code (with underscores)."""
        fields = {"height": report.height, "round": report.round}
        extra = {"peer": report.member, "detail": report.detail or None}
        fields.update({key: value for key, value in extra.items() if value is not None})  # type: ignore[misc]
        level = LEVELS.get(report.code, "info")
        getattr(self._log, level)(report.code.replace("-", "_"), **fields)

    def tip(self, event: TipChanged) -> None:
        """Log the new best block; ``latency_ms`` runs from the opening of its slot to its acceptance here."""
        core, decision = self._core, self._core.agreement.decision
        if core.height == 0 or core.height != event.height:
            self._log.info("tip", height=event.height, hash=event.block_hash)
            return
        ours = decision is not None and decision.block_hash == event.block_hash
        self._log.info(
            "block_accepted",
            height=event.height,
            hash=event.block_hash,
            round=decision.certificate.round if ours and decision is not None else None,
            slot_ms=core.slot_ms,
            accepted_ms=event.now_ms,
            latency_ms=event.now_ms - core.slot_ms,
        )
