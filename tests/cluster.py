"""N members' machines on a virtual clock with a perfect or faulty network: what the tests of the core run on.

Nodes and signers are the simplest honest ones: a node knows its chain and accepts what is valid, a signature is a
word. Guards keep the real guard's rules, and whatever a member does is checked by a Watch the moment it does it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

from signers.guard_codes import GuardError
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
    Outcome,
    PersistFailed,
    Received,
    TimerFired,
    TimerName,
    TipChanged,
    Verdict,
)
from states.messages import Heartbeat, IdentityCertificate, Message
from states.quorum import Quorum, default_vote_quorum
from states.round import Round, Settings
from states.schedule import Schedule
from tests.cluster_disk import Disk, Store
from tests.cluster_watch import Watch, Wire, seal, unseal

__all__ = ["TIMEOUTS", "Cluster", "Member", "Wire", "seal", "unseal"]

HEARTBEAT_MS = 1000
TIMEOUTS = Timeouts(propose_ms=200, prevote_ms=100, precommit_ms=100, resend_ms=100, cap_ms=2000)


class Member:
    """One member: its machines, disk and node.

    ``crash_after``: it crashes once that many more effects are carried out. ``disk_full``: nothing can be written.
    ``node_down``: its node does not answer for now. ``offset_ms``: what its wall clock is ahead.
    """

    def __init__(self, cluster: Cluster, index: int, store: Store) -> None:
        self.cluster, self.index, self.store = cluster, index, store
        self.chain: list[str] = list(cluster.genesis)
        self.rejects: set[str] = set()
        self.rejects_all = self.refuses_submission = False
        self.disk_full = self.node_down = self.signer_down = False
        self.crash_after: int | None = None
        self.offset_ms = 0
        self.reports: list[Report] = []
        self.submissions: list[tuple[int, Outcome]] = []
        self.life = 0
        self.start()

    @property
    def height(self) -> int:
        """The height of the node's tip."""
        return len(self.chain) - 1

    def start(self) -> None:
        self.round = Round(self.cluster.settings(self.index))
        self.timers: dict[str, int] = {}
        self.alive = True
        self.life += 1

    def crash(self) -> None:
        self.alive, self.crash_after = False, None

    def now_ms(self) -> int:
        return self.cluster.now_ms + self.offset_ms

    def tell_tip(self) -> None:
        """The node's best block reaches the machines, if the member is up."""
        if self.alive:
            memory = self.store.restore(self.height + 1)
            self.store.close_height(max(0, self.height - 1))
            first = self.cluster.first_block_time if self.height >= 1 else None
            self.step(TipChanged(self.height, self.chain[-1], first, self.now_ms(), memory))

    def step(self, event: Event) -> None:
        """Take an event and carry out what follows, as the contract of states/effects.py says."""
        if not self.alive:
            return
        effects = self.round.step(event)
        self.cluster.watch.stepped(self.index, self.round)
        for effect in effects:
            if self.crash_after is not None:
                if self.crash_after == 0:
                    self.crash()
                    return
                self.crash_after -= 1
            try:
                self.carry_out(effect)
            except GuardError as error:
                if not self.disk_full:
                    raise  # the core and the guard contradict each other
                self.step(PersistFailed(self.round.height, self.round.round, error.code, str(error)))
                return
            if self.is_down():
                return

    def is_down(self) -> bool:
        return not self.alive

    def carry_out(self, effect: Effect) -> None:
        self.cluster.run(self, effect)


class Cluster:
    """A federation in one process. ``deliver`` decides the fate of each message: delays in ms, or none."""

    def __init__(
        self,
        n: int,
        m: int,
        votes: int | None = None,
        *,
        interval_ms: int = 1000,
        seed: int = 0,
        history: int = 0,
        stores: Callable[[int], Store] = Disk,
        liars: frozenset[int] = frozenset(),
        timeouts: Timeouts = TIMEOUTS,
        member_class: type[Member] = Member,
        heartbeats: bool = True,
    ) -> None:
        self.quorum = Quorum(n, m, votes or default_vote_quorum(n, m))
        self.interval_ms = interval_ms
        self.timeouts = timeouts
        self.genesis = tuple(f"{i:064x}" for i in range(history + 1))
        self.first_block_time: int | None = None
        self.now_ms = 1_000_000_000
        self.random = random.Random(seed)
        self.deliver: Callable[[int, int, Message], tuple[int, ...]] = lambda *_: (1,)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._timer_tokens = itertools.count(1)
        self._copies = itertools.count(1)
        self.watch = Watch(self.quorum, liars)
        self.members = [member_class(self, i, stores(i)) for i in range(n)]
        if heartbeats:
            self.at(HEARTBEAT_MS, self._beat_for_ever)

    def settings(self, index: int) -> Settings:
        return Settings(index, self.quorum, Schedule(self.interval_ms), self.timeouts)

    def start(self) -> None:
        for member in self.members:
            member.tell_tip()

    def restart(self, index: int) -> None:
        member = self.members[index]
        member.crash()
        member.store.restart()
        member.start()
        member.tell_tip()

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
        while min(m.height for m in self.members if m.alive) < height:
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
            case Persist(records):
                if member.disk_full:
                    raise GuardError("write-failed", "no space left")
                member.store.record(records)
                self.watch.recorded(member.index, records)
            case Broadcast(message):
                self.watch.said(member.index, message)
                envelope = seal(member.index, message, next(self._copies))
                self.send(member.index, envelope)
                self.answer(member, Received(member.index, message, envelope, member.now_ms()), 0)
            case Relay(envelopes):
                for envelope in envelopes:
                    self.send(member.index, envelope)
            case SetTimer(timer, height, round_, delay_ms):
                token = member.timers[timer] = next(self._timer_tokens)
                self.at(delay_ms, lambda: self._fire(member, timer, height, round_, token))
            case Report():
                member.reports.append(effect)
                self.watch.reported(effect)
            case _:
                self.serve(member, effect)

    def serve(self, member: Member, effect: Effect) -> None:
        """Node and signer."""
        match effect:
            case RequestBlock(height, round_, parent):
                if member.node_down or parent != member.chain[-1]:
                    self.answer(member, BlockBuilt(height, round_, None, None, "no block"))
                else:
                    block_hash = self.new_hash(height, member.index)
                    self.answer(member, BlockBuilt(height, round_, block_hash, block_hash.encode()))
            case ValidateBlock(height, block_hash, block, timely):
                refused = member.rejects_all or block_hash in member.rejects
                bad = refused or height != len(member.chain) or block != block_hash.encode()
                verdict: Verdict = "unavailable" if member.node_down else "invalid" if bad else "valid"
                judged = BlockJudged(height, block_hash, timely, verdict, "why")
                self.watch.judged(member.index, judged)
                self.answer(member, judged)
            case SignDigest(height, block_hash, block):
                if member.signer_down:
                    self.answer(member, DigestSigned(height, block_hash, None, "unavailable: no token"))
                else:
                    signature = member.store.sign(height, block_hash, block)
                    self.watch.signed(member.index, height, block_hash, signature)
                    self.answer(member, DigestSigned(height, block_hash, signature))
            case CombineBlock(height, block_hash, block, signatures):
                self.watch.combined(height, block_hash, signatures)
                self.answer(member, BlockCombined(height, block_hash, block))
            case SubmitBlock(height, block_hash, block):
                outcome = self.submit(member, height, block_hash, block)
                member.submissions.append((height, outcome))
                self.answer(member, BlockSubmitted(height, block_hash, outcome, "why"))

    def new_hash(self, height: int, member: int) -> str:
        return f"{height:08x}{member:08x}{self.random.getrandbits(32):08x}".ljust(64, "0")

    def submit(self, member: Member, height: int, block_hash: str, block: bytes) -> Outcome:
        if member.node_down:
            return "unavailable"
        if member.refuses_submission or block != block_hash.encode():
            return "rejected"
        if height != len(member.chain):
            return "duplicate"
        if self.first_block_time is None:
            self.first_block_time = self.now_ms // 1000
        member.chain.append(block_hash)
        self.at(1, member.tell_tip)
        return "accepted"

    def answer(self, member: Member, event: Event, delay_ms: int = 1) -> None:
        """The outcome of an effect; a restart forgets what was under way."""
        life = member.life
        self.at(delay_ms, lambda: member.step(event) if member.life == life else None)

    def send(self, sender: int, envelope: bytes) -> None:
        for receiver in self.members:
            if receiver.index != sender:
                self.deliver_to(receiver, envelope, sender)

    def deliver_to(self, receiver: Member, envelope: bytes, sender: int | None = None) -> None:
        """Put an envelope on the link from ``sender`` (its author, or who sends it again) to one member."""
        wire = unseal(envelope)
        origin = wire.sender if sender is None else sender

        def arrive() -> None:
            receiver.step(Received(wire.sender, wire.message, envelope, receiver.now_ms()))

        for delay_ms in self.deliver(origin, receiver.index, wire.message):
            self.at(delay_ms, arrive)

    def _beat_for_ever(self) -> None:
        self.beat()
        self.at(HEARTBEAT_MS, self._beat_for_ever)

    def beat(self) -> None:
        """Every member sends a sign of life, as the daemon does every second."""
        for member in self.members:
            if member.alive:
                machine = member.round
                heartbeat = Heartbeat(
                    height=machine.height,
                    round=machine.round,
                    version="0",
                    tip=machine.tip,
                    state=machine.state,
                    time_ms=member.now_ms(),
                    fresh=machine.fresh,
                    serials=(),
                    certificate=IdentityCertificate(member.index, bytes(32), 1, bytes(64)),
                )
                self.send(member.index, seal(member.index, heartbeat, next(self._copies)))

    def sync(self, index: int) -> None:
        """The member's node catches up with the longest chain, as nodes do among themselves."""
        member = self.members[index]
        longest = max((m.chain for m in self.members), key=len)
        if len(longest) > len(member.chain) and not member.node_down:
            member.chain = list(longest)
            member.tell_tip()

    def check_agreement(self) -> None:
        for height in range(len(self.genesis), max(len(m.chain) for m in self.members)):
            hashes = {m.chain[height] for m in self.members if len(m.chain) > height}
            assert len(hashes) == 1, f"two blocks at height {height}"

    def reports(self, code: str) -> list[tuple[int, Report]]:
        return [(m.index, r) for m in self.members for r in m.reports if r.code == code]

    def _fire(self, member: Member, timer: TimerName, height: int, round_: int, token: int) -> None:
        if member.timers.get(timer) == token:
            member.step(TimerFired(timer, height, round_, member.now_ms()))
