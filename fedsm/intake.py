"""Between transports and engine: only what verifies gets in, and no member can fill the engine's queue."""

from __future__ import annotations

import threading
from collections import Counter

from fedsm.clock import Clock
from fedsm.evidence import EvidenceLog
from fedsm.log import Logger
from states.effects import Report
from transports.envelope import parse
from transports.limits import MAX_MESSAGE_BYTES
from transports.opener import Opened, Opener
from transports.refusals import EnvelopeError

MAX_PENDING_PER_MEMBER = 512
MAX_PENDING_BYTES_PER_MEMBER = 4 * MAX_MESSAGE_BYTES
# Refusals with the same reason and sender are logged once in this many.
LOG_EVERY = 1000
# What happens between honest members every day.
_ROUTINE = frozenset({"duplicate", "replayed", "stale-height", "no-identity", "other-identity", "unverified-vote"})


class Intake:
    """Admits verified messages, a bounded number of each member at a time. Called from transport threads."""

    def __init__(self, opener: Opener, clock: Clock, log: Logger, evidence: EvidenceLog) -> None:
        self._opener = opener
        self._clock = clock
        self._log = log
        self._evidence = evidence
        self._lock = threading.Lock()
        self._pending: Counter[int] = Counter()
        self._pending_bytes: Counter[int] = Counter()
        self._refused: Counter[tuple[str, int | None, str]] = Counter()

    def refused(self) -> dict[str, int]:
        """How many envelopes were refused, by reason. Callable from any thread."""
        return {str(reason): count for reason, count in dict(self._opener.counters.refused).items()}

    def serials(self) -> tuple[int, ...]:
        """The serial of the newest identity certificate held for each member, 0 without one."""
        return self._opener.identities.serials

    def set_floor(self, height: int) -> None:
        """Refuse messages for lower heights from now on, except heartbeats."""
        self._opener.floor = height

    def admit(self, data: bytes, via: str) -> Opened | None:
        """The verified message in ``data``, or None when it is refused (counted, and logged now and then).

        ``via`` is the link or topic that brought it. What convicts its author is kept as evidence when logged.
        """
        try:
            with self._lock:
                opened = self._opener.open(data, self._clock.steady_ms())
        except EnvelopeError as error:
            self._note_refusal(error, data, via)
            return None
        if not self._reserve(opened.sender, len(data)):
            self._note("queue-full", None, "", opened.sender, via)
            return None
        return opened

    def release(self, opened: Opened) -> None:
        """A message that was admitted has been dealt with."""
        with self._lock:
            self._pending[opened.sender] -= 1
            self._pending_bytes[opened.sender] -= len(opened.data)

    def _reserve(self, sender: int, size: int) -> bool:
        """Count a message as pending, if its sender has room for it."""
        with self._lock:
            messages, held = self._pending[sender] + 1, self._pending_bytes[sender] + size
            if messages > MAX_PENDING_PER_MEMBER or held > MAX_PENDING_BYTES_PER_MEMBER:
                return False
            self._pending[sender], self._pending_bytes[sender] = messages, held
            return True

    def _note_refusal(self, error: EnvelopeError, data: bytes, via: str) -> None:
        if error.reason in _ROUTINE:
            return
        logged = self._note(error.reason, error.offender, error.detail, error.sender, via)
        if logged and error.offender is not None:
            place = parse(data)
            report = Report(error.reason, place.height, place.round, error.offender, error.detail, (data,))
            if not self._evidence.add(report):
                self._log.error("evidence_not_kept", code=error.reason, peer=error.offender)

    def _note(self, reason: str, member: int | None, detail: str, claimed: int | None, via: str) -> bool:
        """Count a refusal, and log it if it is the first of its kind in LOG_EVERY; whether it was."""
        key = (reason, member if member is not None else claimed, via)
        with self._lock:
            self._refused[key] += 1
            count = self._refused[key]
        if count % LOG_EVERY != 1:
            return False
        fields = {"peer": member, "claimed": claimed, "detail": detail or None, "count": count}
        known = {name: value for name, value in fields.items() if value is not None}
        say = self._log.warning if member is None else self._log.error
        say("message_refused", reason=reason, via=via, **known)
        return True
