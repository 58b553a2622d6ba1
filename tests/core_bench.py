"""One member's machines on a bench: the test is the network, the node, the signer and the clock.

What the member broadcasts comes back to it at once, as the engine has it; nothing else happens by itself.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TypeVar

from fedsm.simulator.wire import Wire, seal, unseal
from states.agreement import Timeouts
from states.effects import Broadcast, Effect, Relay, Report, SetTimer
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
    ReissuePlanned,
    TimerFired,
    TimerName,
    TipChanged,
    Verdict,
)
from states.memory import BlockDecided, LockTaken, Memory, VoteCast
from states.messages import (
    BlockSignature,
    Heartbeat,
    IdentityCertificate,
    Message,
    Precommit,
    Prevote,
    Proposal,
    QuorumProof,
    VoteKind,
)
from states.quorum import Quorum, default_vote_quorum
from states.reissuance import ReissueTerms
from states.round import Round, Settings
from states.schedule import Schedule

E = TypeVar("E")
M = TypeVar("M")

INTERVAL_MS = 10_000
TIMEOUTS = Timeouts(propose_ms=1000, prevote_ms=500, precommit_ms=500, resend_ms=200, cap_ms=4000)
NOW_MS = 1_700_000_003_000
# Of five members, member 1 proposes in round 0 of height 6, member 0 (ours) in round 4.
HEIGHT = 6
PROPOSER = 1
X, Y, Z = "aa" * 32, "bb" * 32, "cc" * 32
TIP = "05" * 32


def body(block_hash: str) -> bytes:
    return b"block " + block_hash.encode()


def settings(n: int = 5, m: int = 3, q: int | None = None, member: int = 0, reissue: int = 0) -> Settings:
    quorum = Quorum(n, m, q or default_vote_quorum(n, m))
    terms = ReissueTerms(member, n, m, reissue, turn_ms=60) if reissue else None
    return Settings(member, quorum, Schedule(INTERVAL_MS), TIMEOUTS, terms)


def prevote(round_: int, block_hash: str | None, height: int = HEIGHT) -> Prevote:
    return Prevote(height, round_, block_hash)


def precommit(round_: int, block_hash: str | None, height: int = HEIGHT) -> Precommit:
    return Precommit(height, round_, block_hash)


def proof(kind: VoteKind, round_: int, block_hash: str, voters: tuple[int, ...] = (1, 2, 3)) -> QuorumProof:
    vote = (Prevote if kind == "prevote" else Precommit)(HEIGHT, round_, block_hash)
    return QuorumProof(kind, HEIGHT, round_, block_hash, voters, tuple(seal(voter, vote) for voter in voters))


def proposal(round_: int, block_hash: str, lock_proof: QuorumProof | None = None) -> Proposal:
    return Proposal(HEIGHT, round_, block_hash, body(block_hash), lock_proof)


def lock(round_: int, block_hash: str) -> LockTaken:
    return LockTaken(HEIGHT, block_hash, body(block_hash), proof("prevote", round_, block_hash, (0, 1, 2)))


def decision(round_: int, block_hash: str) -> BlockDecided:
    return BlockDecided(HEIGHT, block_hash, body(block_hash), proof("precommit", round_, block_hash))


def signature(member: int, round_: int, block_hash: str) -> BlockSignature:
    der = f"{member}:{block_hash}".encode()
    return BlockSignature(HEIGHT, round_, block_hash, der, proof("precommit", round_, block_hash))


def cast(kind: str, round_: int, block_hash: str | None) -> VoteCast:
    return VoteCast(kind, HEIGHT, round_, block_hash)


def heartbeat(member: int, *, fresh: bool = False, height: int = HEIGHT, round_: int = 0) -> Heartbeat:
    certificate = IdentityCertificate(member, bytes(32), 1, bytes(64))
    return Heartbeat(height, round_, "0", TIP, "Idle", 0, fresh, (1,) * 5, certificate)


class Bench:
    """``effects`` collects what the machines ordered; ``take`` empties it, by type."""

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        machine: Settings | None = None,
        height: int = HEIGHT,
        first_block_time: int | None = None,
        early_heartbeats: tuple[Heartbeat, ...] = (),
    ) -> None:
        self.settings = machine or settings()
        self.member = self.settings.member
        self.round = Round(self.settings)
        self.now_ms = NOW_MS
        self.effects: list[Effect] = []
        self.first_block_time = NOW_MS // 1000 if first_block_time is None else first_block_time
        self.persist_fails = False
        self._copies = itertools.count(1)
        for heartbeat in early_heartbeats:
            self.hear(heartbeat.certificate.member, heartbeat)
        self.tip(height - 1, memory=memory)

    @property
    def agreement(self) -> str:
        return self.round.agreement.state

    @property
    def state(self) -> str:
        return self.round.state

    # --- events

    def step(self, event: Event) -> None:
        pending = deque([event])
        while pending:
            pending.extend(self._carry_out(self.round.step(pending.popleft())))

    def _carry_out(self, effects: list[Effect]) -> list[Event]:
        back: list[Event] = []
        for effect in effects:
            if self.persist_fails and type(effect).__name__ == "Persist":
                return [*back, self._persist_failed()]
            self.effects.append(effect)
            if isinstance(effect, Broadcast):
                envelope = seal(self.member, effect.message, next(self._copies))
                back.append(Received(self.member, effect.message, envelope, self.now_ms))
        return back

    def _persist_failed(self) -> PersistFailed:
        return PersistFailed(self.round.height, self.round.round, "write-failed", "disk full")

    def fail_persist(self) -> None:
        """A record that stood first in its list could not be written."""
        self.step(self._persist_failed())

    def tip(self, height: int, block_hash: str = TIP, memory: Memory | None = None) -> None:
        memory = memory or Memory(height + 1)
        self.step(TipChanged(height, block_hash, self.first_block_time, self.now_ms, memory))

    def hear(self, sender: int, *messages: Message, copy: int = 0) -> None:
        for message in messages:
            self.step(Received(sender, message, seal(sender, message, copy), self.now_ms))

    def hear_all(self, senders: tuple[int, ...], *messages: Message) -> None:
        for sender in senders:
            self.hear(sender, *messages)

    def timer(self, name: TimerName, round_: int | None = None) -> None:
        self.step(TimerFired(name, self.round.height, self.round.round if round_ is None else round_, self.now_ms))

    def slot(self) -> None:
        """The slot of the height opens."""
        self.now_ms = self.round.slot_ms
        self.timer("slot")

    def resend(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_ms += TIMEOUTS.resend_ms
            self.timer("resend")

    def judge(self, block_hash: str, verdict: Verdict = "valid", *, timely: bool = True) -> None:
        self.step(BlockJudged(self.round.height, block_hash, timely, verdict, "why"))

    def built(self, block_hash: str | None) -> None:
        block = None if block_hash is None else body(block_hash)
        self.step(BlockBuilt(self.round.height, self.round.round, block_hash, block, "why"))

    def signed(self, block_hash: str, der: bytes | None = b"ours") -> None:
        self.step(DigestSigned(self.round.height, block_hash, der, "why"))

    def combined(self, block_hash: str, block: bytes | None = b"complete") -> None:
        self.step(BlockCombined(self.round.height, block_hash, block, "why"))

    def finish_reissue(self) -> None:
        self.step(ReissuePlanned(self.round.height - 1, ()))

    def submitted(self, block_hash: str, outcome: Outcome) -> None:
        self.step(BlockSubmitted(self.round.height, block_hash, outcome, "why"))

    # --- effects

    def take(self, kind: type[E]) -> list[E]:
        """The effects of this type since the last ``take`` of any type."""
        found: list[E] = [effect for effect in self.effects if isinstance(effect, kind)]
        self.effects.clear()
        return found

    def said(self, kind: type[M]) -> list[M]:
        """The messages of this type that were broadcast since the last ``take``."""
        return [m for m in (b.message for b in self.take(Broadcast)) if isinstance(m, kind)]

    def relayed(self) -> list[Wire]:
        return [unseal(envelope) for relay in self.take(Relay) for envelope in relay.envelopes]

    def reports(self, code: str) -> list[Report]:
        return [report for report in self.take(Report) if report.code == code]

    def timers(self) -> dict[str, int]:
        return {timer.timer: timer.delay_ms for timer in self.take(SetTimer)}

    # --- whole steps

    def prevoted(self, block_hash: str | None = X, round_: int = 0) -> Bench:
        """In round 0 (or the round at hand), having prevoted the proposer's block, or nil without one."""
        if self.state == "Idle":
            self.slot()
        if block_hash is None:
            self.timer("propose")
        else:
            proposer = self.settings.quorum.proposer(HEIGHT, round_)
            self.hear(proposer, proposal(round_, block_hash))
            self.judge(block_hash)
        assert self.agreement == "Prevoted"
        return self

    def locked(self, block_hash: str = X) -> Bench:
        """Locked on a block in round 0 and in round 1 since nobody else precommitted it."""
        self.prevoted(block_hash)
        self.hear_all((1, 2), prevote(0, block_hash))
        assert self.agreement == "Precommitted"
        self.hear_all((1, 2, 3), precommit(0, None))
        assert self.round.round == 1
        return self

    def decided(self, block_hash: str = X) -> Bench:
        self.prevoted(block_hash)
        self.hear_all((1, 2), prevote(0, block_hash))
        self.hear_all((1, 2), precommit(0, block_hash))
        assert self.state == "CollectSigs"
        return self
