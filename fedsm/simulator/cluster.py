"""N members' machines on a virtual clock with a perfect or faulty network.

Nodes and signers are the simplest honest ones: a node knows its chain and accepts what is valid, a signature is a
word. Whatever a member does is checked by a Watch the moment it does it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from fedsm.simulator.disk import Disk, Store
from fedsm.simulator.member import Member
from fedsm.simulator.opener import Opener
from fedsm.simulator.services import Order
from fedsm.simulator.timeline import Timeline
from fedsm.simulator.violation import Violation
from fedsm.simulator.watch import Watch
from fedsm.simulator.wire import seal
from states.agreement import Timeouts
from states.effects import (
    Broadcast,
    Effect,
    Persist,
    Relay,
    Report,
    SetTimer,
)
from states.events import (
    Event,
    Received,
    TimerFired,
    TimerName,
)
from states.messages import Heartbeat, IdentityCertificate, Message
from states.quorum import Quorum, default_vote_quorum
from states.round import Settings
from states.schedule import Schedule
from transports.opener import SEEN_LIMIT

HEARTBEAT_MS = 1000
TIMEOUTS = Timeouts(propose_ms=200, prevote_ms=100, precommit_ms=100, resend_ms=100, cap_ms=2000)


class Cluster(Timeline):
    """A federation in one process. ``deliver`` decides the fate of each message: delays in ms, or none.

    Envelopes that come to a member again within ``echo_ms`` are dropped, as transports/opener.py does.
    """

    reissues: ClassVar[bool] = False

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
        echo_ms: int = 0,
    ) -> None:
        super().__init__()
        self.echo_ms = echo_ms
        self.quorum = Quorum(n, m, votes or default_vote_quorum(n, m))
        self.interval_ms = interval_ms
        self.timeouts = timeouts
        self.genesis = tuple(f"{i:064x}" for i in range(history + 1))
        self.first_block_time: int | None = None
        self.random = random.Random(seed)
        self.deliver: Callable[[int, int, Message], tuple[int, ...]] = lambda *_: (1,)
        self._timer_tokens = itertools.count(1)
        self._copies = itertools.count(1)
        disks = [stores(i) for i in range(n)]

        def verifies(member: int, block_hash: str, signature: bytes) -> bool:
            return disks[member].verifies(block_hash, signature)

        self._opener = Opener(self.quorum.votes, verifies)
        self.watch = Watch(self.quorum, liars, verifies)
        self.members = [member_class(self, i, disk) for i, disk in enumerate(disks)]
        if heartbeats:
            self.at(HEARTBEAT_MS, self._beat_for_ever)

    def settings(self, index: int) -> Settings:
        """What a member's machines are built from."""
        return Settings(index, self.quorum, Schedule(self.interval_ms), self.timeouts)

    def start(self) -> None:
        """Every node tells its member where the chain stands."""
        for member in self.members:
            member.tell_tip()

    def restart(self, index: int) -> None:
        """End a member's process if it runs, and start a new one."""
        member = self.members[index]
        member.crash()
        member.store.restart()
        member.start()
        member.tell_tip()

    # --- time

    def run_until_height(self, height: int, *, limit_ms: int = 600_000) -> None:
        """Let time pass until all nodes of members that are up have this block. Violation ``standstill``."""
        end = self.now_ms + limit_ms
        while min(m.height for m in self.members if m.alive) < height:
            if self.now_ms >= end:
                raise Violation("standstill", f"no height {height} within {limit_ms} ms: {self.describe()}")
            self.run_for(50)

    def describe(self) -> str:
        """Where every member stands."""
        return ", ".join(
            f"{m.index}: h{m.round.height} r{m.round.round} {m.round.state}/{m.round.agreement.state}"
            for m in self.members
            if m.alive
        )

    # --- effects

    def run(self, member: Member, effect: Effect) -> None:
        """Carry out an effect of a member. GuardError and PowerCut as its disk raises them."""
        match effect:
            case Persist(records):
                member.store.record(records)
                self.watch.recorded(member.index, records)
            case Broadcast(message):
                self.watch.said(member.index, message, member.store)
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
                self.watch.reported(member.index, effect)
            case _ if isinstance(effect, Order):
                member.serve(effect)

    def new_hash(self, height: int, member: int) -> str:
        """The hash of a new block that a member's node builds."""
        return f"{height:08x}{member:08x}{self.random.getrandbits(32):08x}".ljust(64, "0")

    def answer(self, member: Member, event: Event, delay_ms: int = 1) -> None:
        """The outcome of an effect; a restart forgets what was under way."""
        life = member.life
        self.at(delay_ms, lambda: member.step(event) if member.life == life else None)

    def send(self, sender: int, envelope: bytes) -> None:
        """Put an envelope on the links to all others."""
        for receiver in self.members:
            if receiver.index != sender:
                self.deliver_to(receiver, envelope, sender)

    def deliver_to(self, receiver: Member, envelope: bytes, sender: int | None = None) -> None:
        """Put an envelope on the link from ``sender`` (its author, or who sends it again) to one member.

        Nothing is put there that came to it just now, or will in a moment, or that it would not believe.
        """
        heard = receiver.heard
        if abs(self.now_ms - heard.get(envelope, 0)) < self.echo_ms:
            return
        wire = self._opener.open(envelope)
        if wire is None:
            return
        for delay_ms in self.deliver(wire.sender if sender is None else sender, receiver.index, wire.message):
            if len(heard) >= SEEN_LIMIT:
                heard.clear()
            heard[envelope] = self.now_ms + delay_ms
            self.at(delay_ms, partial(receiver.hear, wire, envelope))

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

    # --- nodes among themselves

    def sync(self, index: int) -> None:
        """The member's node catches up with the longest chain."""
        member = self.members[index]
        longest = max((m.chain for m in self.members), key=len)
        if len(longest) > len(member.chain) and not member.node_down:
            member.chain = list(longest)
            member.tell_tip()

    def gossip(self) -> None:
        """Every node that hears others catches up with one of those that have more blocks."""
        for member in self.members:
            longer = [other.chain for other in self.members if len(other.chain) > len(member.chain)]
            if longer and not member.node_down and not member.node_stale:
                member.chain = list(self.random.choice(longer))
                member.tell_tip()

    def lose_block(self, member: Member) -> None:
        """A node starts again without its last block, if it can have it back from another one."""
        last = len(member.chain) - 1
        others = [other.chain for other in self.members if other is not member]
        if last >= len(self.genesis) and any(chain[last : last + 1] == member.chain[-1:] for chain in others):
            member.chain.pop()
            member.tell_tip()

    def check_agreement(self) -> None:
        """Violation ``fork`` if two nodes have different blocks at a height."""
        for height in range(len(self.genesis), max(len(m.chain) for m in self.members)):
            hashes = {m.chain[height] for m in self.members if len(m.chain) > height}
            if len(hashes) > 1:
                raise Violation("fork", f"two blocks at height {height}")

    def reports(self, code: str) -> list[tuple[int, Report]]:
        """Who reported this, and what."""
        return [(m.index, r) for m in self.members for r in m.reports if r.code == code]

    def _fire(self, member: Member, timer: TimerName, height: int, round_: int, token: int) -> None:
        if member.timers.get(timer) == token:
            member.step(TimerFired(timer, height, round_, member.now_ms()))
