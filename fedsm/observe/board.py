"""What a member's machines do, as they do it: written by the engine's thread, copied by others under a lock.

All that is kept is bounded, whatever peers send: the last heights, a few rounds of each, the last notices.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, replace

from msgspec.structs import replace as replace_struct

from fedsm.journal import LEVELS
from fedsm.observe.detail import detail_of
from fedsm.observe.path import Move
from fedsm.observe.status import Block, EdgeCount, HeightDetail, Member, Notice, ReissuanceStatus
from fedsm.peers import SILENT_MS, Peer, Peers
from fedsm.trace import Standing, Transition
from fedsm.trace.chronicle import Chronicle, HeightFacts
from states.effects import Persist, Report
from states.events import DigestSigned, PersistFailed, Received, TipChanged
from states.messages import BlockSignature, Heartbeat, Precommit, Prevote, Proposal
from states.round import Settings

KEPT_HEIGHTS = 50
KEPT_NOTICES = 50
# Votes for rounds further ahead are not noted: a liar can name any round.
MAX_ROUNDS_AHEAD = 20
LONGEST_DETAIL = 300


@dataclass(frozen=True)
class Now:
    """Where the machines stand; times are of the wall clock.

    ``guard_trouble`` and ``signer_trouble`` say why the last record or signature failed; empty when it did not.
    """

    standing: Standing
    since_ms: int
    slot_ms: int
    tip: str
    tip_at_ms: int
    guard_trouble: str
    signer_trouble: str
    reissuance: ReissuanceStatus | None = None


class Board:
    """One member's machines as others may see them. ``take`` and ``begin`` are the engine's thread's alone."""

    def __init__(self, settings: Settings, peers: Peers, version: str) -> None:
        self.settings = settings
        self._version = version
        self._peers = peers
        self._lock = threading.Lock()
        self._chronicle = Chronicle(settings.quorum)
        self._closed: deque[Block] = deque(maxlen=KEPT_HEIGHTS)
        self._facts: deque[HeightFacts] = deque(maxlen=KEPT_HEIGHTS)
        self._notices: deque[Notice] = deque(maxlen=KEPT_NOTICES)
        self._edges: Counter[tuple[str, str]] = Counter()
        self._heard: dict[int, Peer] = {}
        self._signed: dict[int, int] = {}
        self._now = Now(Standing("Idle", "Waiting", 0, 0), 0, 0, "", 0, "", "")
        self._recording = False

    # --- the engine's thread

    def take(
        self, step: Transition, moves: list[Move], slot_ms: int, reissuance: ReissuanceStatus | None = None
    ) -> list[Block]:
        """Take a step and the edges it took. Returns the heights that it closed for good."""
        with self._lock:
            self._stand(step, slot_ms, reissuance)
            self._edges.update((move.source, move.dest) for move in moves)
            self._hear(step)
            self._notices.extend(_notice(effect, step.at_ms) for effect in step.effects if _concerns(effect))
            closed = [] if self._is_far(step) else self._follow(step)
            self._closed.extend(closed)
        return closed

    def _stand(self, step: Transition, slot_ms: int, reissuance: ReissuanceStatus | None) -> None:
        now = self._now
        moved = step.after.state != now.standing.state
        tip, tip_at_ms = now.tip, now.tip_at_ms
        if isinstance(step.event, TipChanged) and step.event.block_hash != tip:
            tip, tip_at_ms = step.event.block_hash, step.event.now_ms
        self._now = Now(
            step.after,
            step.at_ms if moved else now.since_ms or step.at_ms,
            slot_ms,
            tip,
            tip_at_ms,
            self._guard_trouble(step),
            self._signer_trouble(step),
            reissuance,
        )

    def _guard_trouble(self, step: Transition) -> str:
        """A record that failed is followed at once by the event that says so."""
        trouble = self._now.guard_trouble
        if isinstance(step.event, PersistFailed):
            trouble = f"{step.event.code}: {step.event.reason}"
        elif self._recording:
            trouble = ""
        self._recording = any(isinstance(effect, Persist) for effect in step.effects)
        return trouble

    def _signer_trouble(self, step: Transition) -> str:
        if not isinstance(step.event, DigestSigned):
            return self._now.signer_trouble
        return "" if step.event.signature is not None else step.event.reason

    def _hear(self, step: Transition) -> None:
        if not isinstance(step.event, Received):
            return
        sender, message = step.event.sender, step.event.message
        if isinstance(message, Heartbeat) and sender in self._peers.members:
            self._heard[sender] = replace(self._peers.members[sender])
        elif isinstance(message, BlockSignature):
            self._signed[sender] = max(message.height, self._signed.get(sender, 0))

    def _is_far(self, step: Transition) -> bool:
        event = step.event
        if not isinstance(event, Received) or not isinstance(event.message, Proposal | Prevote | Precommit):
            return False
        return event.message.round > step.after.round + MAX_ROUNDS_AHEAD

    def _follow(self, step: Transition) -> list[Block]:
        done = [facts for facts in self._chronicle.take(step) if facts.closed is not None]
        for facts in done:
            # Evidence is whole envelopes, perhaps of blocks; it stands in its own file.
            facts.reports = [(at_ms, replace_struct(report, evidence=())) for at_ms, report in facts.reports]
        self._facts.extend(done)
        return [block_of(facts, self.settings) for facts in done]

    # --- any thread

    @property
    def now(self) -> Now:
        """Where the machines stand."""
        return self._now

    def blocks(self) -> tuple[Block, ...]:
        """The last heights that are closed, oldest first. Signatures may still come in for the last of them."""
        with self._lock:
            late = [facts for facts in self._chronicle.unfinished if facts.closed is not None]
            blocks = [*self._closed, *(block_of(facts, self.settings) for facts in late)]
        return tuple(blocks[-KEPT_HEIGHTS:])

    def height(self, number: int) -> HeightDetail | None:
        """All that is known of a height, open or closed; None if it is too far away."""
        with self._lock:
            known = [*self._facts, *self._chronicle.unfinished]
            found = next((facts for facts in reversed(known) if facts.height == number), None)
            return None if found is None else detail_of(found, self.settings)

    def notices(self) -> tuple[Notice, ...]:
        """The last reports that concern the operator, oldest first."""
        with self._lock:
            return tuple(self._notices)

    def edges(self) -> tuple[EdgeCount, ...]:
        """How often each edge between two states was taken."""
        with self._lock:
            counts = sorted(self._edges.items())
        return tuple(EdgeCount(source, dest, count) for (source, dest), count in counts)

    def members(self, steady_ms: int) -> tuple[Member, ...]:
        """Every member as last heard; ``steady_ms`` is now by the clock that peers are heard by."""
        with self._lock:
            heard, signed, standing = dict(self._heard), dict(self._signed), self._now.standing
        highest = max((peer.heartbeat.height for peer in heard.values()), default=0)
        highest = max(highest, standing.height)
        return tuple(
            self._ours(number, signed.get(number), highest, standing)
            if number == self.settings.member
            else _theirs(number, heard.get(number), signed.get(number), highest, steady_ms)
            for number in range(self.settings.quorum.members)
        )

    def _ours(self, number: int, signed: int | None, highest: int, standing: Standing) -> Member:
        lag = highest - standing.height if standing.height else 0
        return Member(
            number,
            ours=True,
            up=True,
            state=standing.state,
            height=standing.height,
            round=standing.round,
            lag=lag,
            silent_ms=0,
            version=self._version,
            signed=signed,
        )


def _theirs(number: int, peer: Peer | None, signed: int | None, highest: int, steady_ms: int) -> Member:
    if peer is None:
        return Member(number, ours=False, up=False, signed=signed)
    heartbeat, silent_ms = peer.heartbeat, max(0, steady_ms - peer.seen_ms)
    return Member(
        number,
        ours=False,
        up=silent_ms <= SILENT_MS,
        state=heartbeat.state,
        height=heartbeat.height,
        round=heartbeat.round,
        lag=highest - heartbeat.height,
        silent_ms=silent_ms,
        skew_ms=peer.skew_ms,
        version=heartbeat.version,
        signed=signed,
        troubles=tuple(sorted(peer.troubles)),
    )


def block_of(facts: HeightFacts, settings: Settings) -> Block:
    """A closed height in short."""
    decided, closed, quorum = facts.decided, facts.closed, settings.quorum
    block_hash, at_ms = ("", 0) if closed is None else closed
    seen = decided is not None and decided.block_hash == block_hash
    round_ = decided.round if seen and decided is not None else None
    voters = {
        member
        for of_round in facts.rounds.values()
        for votes in (of_round.prevotes, of_round.precommits)
        for member in votes
    }
    return Block(
        height=facts.height,
        hash=block_hash,
        at_ms=at_ms,
        round=round_,
        rounds=sum(of_round.began_ms is not None for of_round in facts.rounds.values()),
        proposer=None if round_ is None else quorum.proposer(facts.height, round_),
        signers=tuple(sorted(facts.signatures)),
        voters=tuple(sorted(voters)),
        latency_ms=None if round_ is None or facts.slot_ms is None else at_ms - facts.slot_ms,
    )


def _concerns(effect: object) -> bool:
    return isinstance(effect, Report) and LEVELS.get(effect.code, "info") in ("warning", "error")


def _notice(report: object, at_ms: int) -> Notice:
    assert isinstance(report, Report)  # noqa: S101 - by _concerns
    return Notice(
        at_ms,
        LEVELS[report.code],
        report.code.replace("-", "_"),
        report.height,
        report.round,
        report.member,
        report.detail[:LONGEST_DETAIL],
    )
