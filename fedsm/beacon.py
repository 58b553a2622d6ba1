"""Heartbeats: tells the others where this member stands and by which identity key it may be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from states.messages import Heartbeat, IdentityCertificate
from states.round import Round

HEARTBEAT_MS = 1_000
# A peer that lacks our certificate is answered at once, but not more often than this.
ANSWER_MS = 100


class Beacon:
    """Decides when to send a heartbeat and what stands in it. Times are steady milliseconds."""

    def __init__(
        self,
        core: Round,
        certificate: IdentityCertificate,
        version: str,
        serials: Callable[[], Sequence[int]],
        federation: str = "",
    ) -> None:
        self._core = core
        self._certificate = certificate
        self._version = version
        self._serials = serials
        self._federation = federation
        self._due_ms = 0
        self._sent_ms = -ANSWER_MS
        self._disowned_by: set[int] = set()

    def due_in(self, steady_ms: int) -> int:
        """Milliseconds until the next heartbeat is due, 0 if it is overdue."""
        return max(0, self._due_ms - steady_ms)

    def heard(self, sender: int, heartbeat: Heartbeat, steady_ms: int) -> None:
        """A peer that does not yet hold our certificate cannot read us: make the next heartbeat due soon."""
        held = heartbeat.serials[self._certificate.member]
        if held < self._certificate.serial:
            self._due_ms = min(self._due_ms, max(steady_ms, self._sent_ms + ANSWER_MS))
        if held > self._certificate.serial:
            self._disowned_by.add(sender)
        else:
            self._disowned_by.discard(sender)

    @property
    def disowned(self) -> bool:
        """Whether N - Q + 1 members hold a newer identity of ours: another daemon runs with our key.

        Fewer may be lying; so many cannot be, as long as any block can be agreed on at all.
        """
        return len(self._disowned_by) >= self._core.settings.quorum.blocking

    def heartbeat(self, steady_ms: int, wall_ms: int) -> Heartbeat:
        """The heartbeat to send now."""
        self._sent_ms, self._due_ms = steady_ms, steady_ms + HEARTBEAT_MS
        return Heartbeat(
            height=self._core.height,
            round=self._core.round,
            version=self._version,
            tip=self._core.tip,
            state=self._core.state,
            time_ms=wall_ms,
            fresh=self._core.fresh,
            serials=tuple(self._serials()),
            certificate=self._certificate,
            federation=self._federation,
        )
