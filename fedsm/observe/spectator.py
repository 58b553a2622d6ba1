"""Watches a federation from outside: hears what members say, knows their public keys, and has none of its own."""

from __future__ import annotations

import threading

from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.observe.board import Board
from fedsm.observe.status import Link, Status
from fedsm.pace import timeouts_for
from fedsm.peers import Peers
from fedsm.trace import Standing, Transition
from fedsm.version import __version__
from states.events import Event, Received, TipChanged
from states.memory import Memory
from states.messages import BlockSignature, Heartbeat
from states.quorum import Quorum
from states.round import Settings
from states.schedule import Schedule
from transports.base import LinkStatus
from transports.opener import Opener
from transports.refusals import EnvelopeError

NOBODY = -1
# Heights of which signatures are remembered until a heartbeat says that the block is there.
OPEN_HEIGHTS = 4


class Spectator:
    """Gathers heartbeats, votes and signatures that verify. Called from transport threads; asked from any.

    ``federation`` is the digest that all members should have, empty for none. ``heartbeats`` has the last one of
    each member, and its clock minus ours in milliseconds.
    """

    def __init__(
        self, opener: Opener, quorum: Quorum, interval_ms: int, federation: str, clock: Clock, log: Logger
    ) -> None:
        self._opener = opener
        self._quorum = quorum
        self._clock = clock
        self._lock = threading.Lock()
        self._started_at_ms = clock.wall_ms()
        self._peers = Peers(NOBODY, __version__, federation, log)
        settings = Settings(NOBODY, quorum, Schedule(interval_ms), timeouts_for(interval_ms))
        self._board = Board(settings, self._peers, __version__)
        self._height = 0
        self._signed: dict[int, set[str]] = {}
        self.heartbeats: dict[int, tuple[Heartbeat, int]] = {}

    def hear(self, data: bytes, _way: str) -> None:
        """Take an envelope; what does not verify is dropped."""
        with self._lock:
            try:
                opened = self._opener.open(data, self._clock.steady_ms())
            except EnvelopeError:
                return
            now_ms, message = self._clock.wall_ms(), opened.message
            if isinstance(message, Heartbeat):
                self.heartbeats[opened.sender] = (message, message.time_ms - now_ms)
                self._peers.heard(opened.sender, message, message.height, self._clock.steady_ms(), now_ms)
                self._rise(now_ms)
            elif isinstance(message, BlockSignature) and abs(message.height - self._height) <= OPEN_HEIGHTS:
                self._signed.setdefault(message.height, set()).add(message.block_hash)
            self._take(Received(opened.sender, message, data, now_ms), now_ms)

    def _rise(self, now_ms: int) -> None:
        """Follow the members. So many say that they are at a height that not all of them can lie.

        If we heard the block below it being signed, that block closed its height.
        """
        heights = sorted((heard.height for heard, _ in self.heartbeats.values()), reverse=True)
        reached = heights[self._quorum.blocking - 1] if len(heights) >= self._quorum.blocking else 0
        if reached <= self._height:
            return
        tips = {heard.tip for heard, _ in self.heartbeats.values() if heard.height == reached}
        for block_hash in tips & self._signed.get(reached - 1, set()):
            tip = TipChanged(reached - 1, block_hash, None, now_ms, Memory(reached))
            self._take(tip, now_ms, height=reached)
        self._height = self._opener.floor = reached
        self._signed = {height: said for height, said in self._signed.items() if height >= reached - 1}

    def _take(self, event: Event, now_ms: int, height: int | None = None) -> None:
        before, after = self._standing(self._height), self._standing(height or self._height)
        self._board.take(Transition(now_ms, before, event, after, []), [], 0)

    @staticmethod
    def _standing(height: int) -> Standing:
        return Standing("", "", height, 0)

    def status(self, chain: str, links: tuple[LinkStatus, ...]) -> Status:
        """What was heard, in the form of a daemon's status; ``chain`` is the genesis hash."""
        return Status(
            version=__version__,
            member=NOBODY,
            phase="watching",
            now_ms=self._clock.wall_ms(),
            started_at_ms=self._started_at_ms,
            ready=True,
            checks=(),
            genesis=chain,
            members=self._quorum.members,
            threshold=self._quorum.threshold,
            quorum=self._quorum.votes,
            interval_ms=self._board.settings.schedule.interval_ms,
            height=self._height,
            peers=self._board.members(self._clock.steady_ms()),
            blocks=self._board.blocks(),
            links=tuple(Link(it.member, it.address, it.connected, it.since_ms, it.round_trip_ms) for it in links),
        )
