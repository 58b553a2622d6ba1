"""What happened at each height, gathered from the steps of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fedsm.trace.periods import is_about_reissuance
from fedsm.trace.sheet import Transition
from states.effects import Effect, Persist, Report, SetTimer
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
from states.memory import BlockDecided
from states.messages import (
    BlockSignature,
    Precommit,
    Prevote,
    Proposal,
    QuorumProof,
    ReissueDraft,
    ReissueSignature,
)
from states.quorum import Quorum

# Messages may come this much before their height opens (states/mailbox.py keeps them) or after it has closed.
HEIGHTS_AHEAD = 2
HEIGHTS_BEHIND = 1


class Vote(NamedTuple):
    """A member's vote, and when it reached us."""

    block_hash: str | None
    at_ms: int


class Proposed(NamedTuple):
    """The proposer's block, and when it reached us."""

    block_hash: str
    at_ms: int


@dataclass
class RoundFacts:
    """One round as this member saw it. Times are wall clock milliseconds since the Unix epoch."""

    began_ms: int | None = None
    proposal: Proposed | None = None
    not_built: str | None = None  # why our node built no block for us to propose
    prevotes: dict[int, Vote] = field(default_factory=dict)
    precommits: dict[int, Vote] = field(default_factory=dict)
    failed_ms: int | None = None


class Judged(NamedTuple):
    """Our node's verdict on a block."""

    verdict: str
    reason: str
    at_ms: int


class Decided(NamedTuple):
    """The certificate, as soon as we held it and the block."""

    block_hash: str
    round: int
    voters: tuple[int, ...]
    at_ms: int


@dataclass
class HeightFacts:
    """One height as this member saw it.

    ``closed`` is the block that became the tip, and when. ``reports`` are those that are told by nothing else.
    """

    height: int
    opened_ms: int | None = None
    slot_ms: int | None = None
    rounds: dict[int, RoundFacts] = field(default_factory=dict)
    verdicts: dict[str, Judged] = field(default_factory=dict)
    decided: Decided | None = None
    signatures: dict[int, int] = field(default_factory=dict)
    unsigned: str | None = None  # why our signer gave no signature
    combined_ms: int | None = None
    submitted: list[BlockSubmitted] = field(default_factory=list)
    closed: Proposed | None = None
    reports: list[tuple[int, Report]] = field(default_factory=list)

    def round(self, number: int) -> RoundFacts:
        """The facts of a round, which may be the first ones."""
        return self.rounds.setdefault(number, RoundFacts())


class Chronicle:
    """Gathers facts. A height is given out when no more can be said about it."""

    def __init__(self, quorum: Quorum) -> None:
        self._quorum = quorum
        self._heights: dict[int, HeightFacts] = {}
        self._height = 0

    def take(self, step: Transition) -> Iterator[HeightFacts]:
        """Take a step; gives the heights that it leaves behind."""
        self._height = step.after.height
        self._hear(step.event, step.at_ms)
        for effect in step.effects:
            self._note(effect, step)
        if self._height != step.before.height:
            for height in sorted(h for h in self._heights if h < self._height - HEIGHTS_BEHIND):
                yield self._heights.pop(height)

    @property
    def unfinished(self) -> list[HeightFacts]:
        """The heights that were not given out yet, in order; more may be said about them."""
        return [self._heights[height] for height in sorted(self._heights)]

    def rest(self) -> Iterator[HeightFacts]:
        """The heights that were not given out, at the end of the trace or of a run of the daemon."""
        for height in sorted(self._heights):
            yield self._heights.pop(height)

    def _at(self, height: int) -> HeightFacts:
        return self._heights.setdefault(height, HeightFacts(height))

    # --- events

    def _hear(self, event: Event, at_ms: int) -> None:
        match event:
            case TipChanged():
                if event.height in self._heights:
                    self._at(event.height).closed = Proposed(event.block_hash, at_ms)
            case Received():
                if -HEIGHTS_BEHIND <= event.message.height - self._height <= HEIGHTS_AHEAD:
                    self._hear_message(event, at_ms)
            case BlockBuilt() if event.block is None:
                self._at(event.height).round(event.round).not_built = event.reason
            case BlockJudged():
                self._note_verdict(self._at(event.height).verdicts, event, at_ms)
            case DigestSigned() if event.signature is None:
                self._at(event.height).unsigned = event.reason
            case BlockCombined() if event.block is not None:
                self._at(event.height).combined_ms = at_ms
            case BlockSubmitted():
                self._at(event.height).submitted.append(event)

    @staticmethod
    def _note_verdict(verdicts: dict[str, Judged], event: BlockJudged, at_ms: int) -> None:
        """Our vote follows the first verdict; a node that could not judge is asked again."""
        known = verdicts.get(event.block_hash)
        if known is None or known.verdict == "unavailable":
            verdicts[event.block_hash] = Judged(event.verdict, event.reason, at_ms)

    def _hear_message(self, event: Received, at_ms: int) -> None:
        message = event.message
        if isinstance(message, ReissueDraft | ReissueSignature):
            return
        facts = self._at(message.height)
        match message:
            case Proposal():
                of_round = facts.round(message.round)
                ours = event.sender == self._quorum.proposer(message.height, message.round)
                if ours and of_round.proposal is None:
                    of_round.proposal = Proposed(message.block_hash, at_ms)
                if message.lock_proof is not None:
                    self._count(facts, message.lock_proof, at_ms)
            case Prevote():
                facts.round(message.round).prevotes.setdefault(event.sender, Vote(message.block_hash, at_ms))
            case Precommit():
                facts.round(message.round).precommits.setdefault(event.sender, Vote(message.block_hash, at_ms))
            case BlockSignature():
                facts.signatures.setdefault(event.sender, at_ms)
                self._count(facts, message.certificate, at_ms)

    @staticmethod
    def _count(facts: HeightFacts, proof: QuorumProof, at_ms: int) -> None:
        of_round = facts.round(proof.round)
        votes = of_round.prevotes if proof.vote == "prevote" else of_round.precommits
        for voter in proof.voters:
            votes.setdefault(voter, Vote(proof.block_hash, at_ms))

    # --- effects

    def _note(self, effect: Effect, step: Transition) -> None:
        match effect:
            case SetTimer(timer="slot"):
                facts = self._at(effect.height)
                if isinstance(step.event, TipChanged | TimerFired):
                    facts.slot_ms = step.event.now_ms + effect.delay_ms
                if isinstance(step.event, TipChanged):
                    facts.opened_ms = step.at_ms
            case SetTimer(timer="propose"):
                of_round = self._at(effect.height).round(effect.round)
                of_round.began_ms = of_round.began_ms or step.at_ms
            case Persist(records=(BlockDecided() as decision,)):
                facts = self._at(decision.height)
                proof = decision.certificate
                facts.decided = facts.decided or Decided(decision.block_hash, proof.round, proof.voters, step.at_ms)
            case Report(code="round-failed"):
                self._at(effect.height).round(effect.round).failed_ms = step.at_ms
            case Report(code=code) if code not in _TOLD_OTHERWISE and not is_about_reissuance(effect):
                self._at(effect.height).reports.append((step.at_ms, effect))


# Reports of what the facts tell anyway.
_TOLD_OTHERWISE = frozenset(
    {
        "block-refused",
        "decided",
        "no-block-built",
        "signing-failed",
        "submitted-accepted",
        "submitted-duplicate",
        "submitted-fork",
        "submission-delayed",
        "submission-refused",
    }
)
