"""N members' machines on a virtual clock with a perfect or faulty network: what the tests of the core run on.

Nodes, guards and signers are the simplest honest ones: a node knows its tip and accepts what is valid, a guard
is a dictionary that survives ``restart``, a signature is a word.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from states.agreement import Timeouts
from states.effects import (
    Broadcast,
    CombineBlock,
    Effect,
    Persist,
    Relay,
    Report,
    RequestBlock,
    SetTimer,
    SignDigest,
    SubmitBlock,
    ValidateBlock,
)
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    Event,
    Received,
    TimerFired,
    TipChanged,
)
from states.memory import BlockDecided, LockTaken, Memory, VoteCast
from states.messages import Message
from states.quorum import Quorum, default_vote_quorum
from states.round import Round, Settings
from states.schedule import Schedule

TIMEOUTS = Timeouts(propose_ms=200, prevote_ms=100, precommit_ms=100, resend_ms=100, cap_ms=2000)


class Wire(msgspec.Struct, frozen=True):
    """A stand-in for the signed envelope: who says what, once for each ``copy``."""

    sender: int
    message: Message
    copy: int = 0


def seal(sender: int, message: Message, copy: int = 0) -> bytes:
    return msgspec.msgpack.encode(Wire(sender, message, copy))


def unseal(envelope: bytes) -> Wire:
    return msgspec.msgpack.decode(envelope, type=Wire)


@dataclass
class Disk:
    """What a member's guard holds; it survives restarts of the machines."""

    votes: dict[tuple[str, int, int], VoteCast] = field(default_factory=dict)
    locks: dict[int, LockTaken] = field(default_factory=dict)
    decisions: dict[int, BlockDecided] = field(default_factory=dict)
    signed: dict[int, str] = field(default_factory=dict)
    used: bool = False

    def memory(self, height: int, *, fresh: bool = False) -> Memory:
        votes = tuple(v for (_, h, _), v in sorted(self.votes.items()) if h == height)
        return Memory(height, votes, self.locks.get(height), self.decisions.get(height), fresh)

    def record(self, persist: Persist) -> None:
        self.used = True
        for record in persist.records:
            if isinstance(record, VoteCast):
                key = (record.kind, record.height, record.round)
                assert self.votes.setdefault(key, record) == record, f"two votes: {self.votes[key]} and {record}"
            elif isinstance(record, LockTaken):
                self.locks[record.height] = record
            else:
                earlier = self.decisions.setdefault(record.height, record)
                assert earlier.block_hash == record.block_hash, "two decisions"


class Member:
    """One member: its machines, disk and node."""

    def __init__(self, cluster: Cluster, index: int) -> None:
        self.cluster, self.index = cluster, index
        self.disk = Disk()
        self.chain: list[str] = list(cluster.genesis)
        self.alive = True
        self.rejects: set[str] = set()
        self.timers: dict[str, int] = {}
        self.reports: list[Report] = []
        self.start()

    def start(self) -> None:
        self.round = Round(self.cluster.settings(self.index))
        self.timers.clear()
        self.alive = True
        self.fresh = not self.disk.used

    def tip_event(self) -> TipChanged:
        height = len(self.chain) - 1
        memory = self.disk.memory(height + 1, fresh=self.fresh and not self.disk.used)
        first = self.cluster.first_block_time if height >= 1 else None
        return TipChanged(height, self.chain[-1], first, self.cluster.now_ms, memory)

    def crash(self) -> None:
        self.alive = False

    def step(self, event: Event) -> None:
        if self.alive:
            for effect in self.round.step(event):
                self.cluster.run(self, effect)


class Cluster:
    """A federation in one process. ``deliver`` decides the fate of each message: delays in ms, or none."""

    def __init__(
        self, n: int, m: int, votes: int | None = None, *, interval_ms: int = 1000, seed: int = 0, history: int = 0
    ) -> None:
        self.quorum = Quorum(n, m, votes or default_vote_quorum(n, m))
        self.interval_ms = interval_ms
        self.genesis = tuple(f"{i:064x}" for i in range(history + 1))
        self.first_block_time: int | None = None
        self.now_ms = 1_000_000_000
        self.random = random.Random(seed)
        self.deliver: Callable[[int, int, Message], tuple[int, ...]] = lambda *_: (1,)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._copies = itertools.count(1)
        self.signatures: dict[int, dict[int, str]] = {}
        self.members = [Member(self, i) for i in range(n)]

    def settings(self, index: int) -> Settings:
        return Settings(index, self.quorum, Schedule(self.interval_ms), TIMEOUTS)

    def start(self) -> None:
        for member in self.members:
            member.step(member.tip_event())

    def restart(self, index: int) -> None:
        member = self.members[index]
        member.start()
        member.step(member.tip_event())

    # --- time

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ms + delay_ms, next(self._order), action))

    def run_for(self, duration_ms: int) -> None:
        end = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= end:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        self.now_ms = end

    def run_until_height(self, height: int, *, limit_ms: int = 600_000) -> None:
        end = self.now_ms + limit_ms
        while min(len(m.chain) - 1 for m in self.members if m.alive) < height:
            assert self.now_ms < end, f"no height {height} within {limit_ms} ms: {self.describe()}"
            self.run_for(50)

    def describe(self) -> str:
        return ", ".join(
            f"{m.index}: h{m.round.height} r{m.round.round} {m.round.state}/{m.round.agreement.state}"
            for m in self.members
            if m.alive
        )

    # --- effects

    def run(self, member: Member, effect: Effect) -> None:
        match effect:
            case Persist():
                member.disk.record(effect)
            case Broadcast(message):
                self.send(member.index, seal(member.index, message))
                self.answer(member, Received(member.index, message, seal(member.index, message), self.now_ms), 0)
            case Relay(envelopes):
                for envelope in envelopes:
                    self.send(member.index, envelope)
            case SetTimer(timer, height, round_, delay_ms):
                token = member.timers[timer] = next(self._copies)
                self.at(delay_ms, lambda: self._fire(member, timer, height, round_, token))
            case RequestBlock(height, round_, _):
                block_hash = f"{height:08x}{member.index:08x}{self.random.getrandbits(32):08x}".ljust(64, "0")
                self.answer(member, BlockBuilt(height, round_, block_hash, block_hash.encode()))
            case ValidateBlock(height, block_hash, _, timely):
                bad = block_hash in member.rejects or height != len(member.chain)
                verdict = "invalid" if bad else "valid"
                self.answer(member, BlockJudged(height, block_hash, timely, verdict))
            case SignDigest(height, block_hash, _):
                self.sign(member, height, block_hash)
            case CombineBlock(height, block_hash, block, signatures):
                assert len({m for m, _ in signatures}) == self.quorum.threshold
                self.answer(member, BlockCombined(height, block_hash, block))
            case SubmitBlock(height, block_hash, _):
                self.answer(member, BlockSubmitted(height, block_hash, "accepted"))
                self.accept(member, height, block_hash)
            case Report():
                member.reports.append(effect)

    def sign(self, member: Member, height: int, block_hash: str) -> None:
        assert member.disk.decisions[height].block_hash == block_hash, "signs what it did not record as decided"
        given = self.signatures.setdefault(height, {}).setdefault(member.index, block_hash)
        assert given == block_hash, f"member {member.index} signs two blocks at height {height}"
        self.answer(member, DigestSigned(height, block_hash, f"{member.index}:{block_hash}".encode()))

    def accept(self, member: Member, height: int, block_hash: str) -> None:
        if height != len(member.chain):
            return
        if self.first_block_time is None:
            self.first_block_time = self.now_ms // 1000
        member.chain.append(block_hash)
        self.at(1, lambda: member.step(member.tip_event()))

    def answer(self, member: Member, event: Event, delay_ms: int = 1) -> None:
        self.at(delay_ms, lambda: member.step(event))

    def send(self, sender: int, envelope: bytes) -> None:
        wire = unseal(envelope)
        for receiver in self.members:
            if receiver.index == sender:
                continue
            for delay_ms in self.deliver(sender, receiver.index, wire.message):
                self.at(
                    delay_ms, lambda r=receiver: r.step(Received(wire.sender, wire.message, envelope, self.now_ms))
                )

    def sync(self, index: int) -> None:
        """The member's node catches up with the longest chain, as nodes do among themselves."""
        member = self.members[index]
        longest = max((m.chain for m in self.members), key=len)
        if len(longest) > len(member.chain):
            member.chain = list(longest)
            member.step(member.tip_event())

    def check_agreement(self) -> None:
        for height in range(len(self.genesis), max(len(m.chain) for m in self.members)):
            hashes = {m.chain[height] for m in self.members if len(m.chain) > height}
            assert len(hashes) == 1, f"two blocks at height {height}"

    def reports(self, code: str) -> list[tuple[int, Report]]:
        return [(m.index, r) for m in self.members for r in m.reports if r.code == code]

    def _fire(self, member: Member, timer: str, height: int, round_: int, token: int) -> None:
        if member.timers.get(timer) == token:
            member.step(TimerFired(timer, height, round_, self.now_ms))  # type: ignore[arg-type]
