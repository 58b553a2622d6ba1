"""Which block: proposal, prevote, precommit, lock, certificate for one height (used while in Propose).

Tendermint's algorithm as the rows of states/table.py; this file holds the guards that look and the actions that
compute. The safety argument: a member precommits (and locks on) a block only after Q prevotes for it in that
round, and while locked prevotes another block only against Q prevotes for that one in a later round. Two
quorums share at least 2Q - N members, so two certificates need that many members to vote two ways.
"""

from __future__ import annotations

import msgspec

from states.ballots import Ballots
from states.effects import (
    Broadcast,
    Effect,
    Persist,
    Relay,
    Report,
    RequestBlock,
    SetTimer,
    ValidateBlock,
)
from states.events import BlockBuilt, BlockJudged, Received, TimerName
from states.machine import TableMachine
from states.memory import BlockDecided, LockTaken, Memory, VoteCast
from states.messages import BlockRequest, Precommit, Prevote, Proposal, QuorumProof, Vote, VoteKind
from states.quorum import Quorum
from states.table import AGREEMENT


class Timeouts(msgspec.Struct, frozen=True):
    """How long a step of round 0 may take, in milliseconds; each later round allows half as much again."""

    propose_ms: int
    prevote_ms: int
    precommit_ms: int
    resend_ms: int
    cap_ms: int

    def grown(self, base_ms: int, round_: int) -> int:
        """The time limit of a step in ``round_``: grows by half of ``base_ms`` a round, up to ``cap_ms``."""
        return min(base_ms + base_ms * round_ // 2, max(self.cap_ms, base_ms))


class Agreement(TableMachine):
    """The agreement machine of one member. ``effects`` is filled by each ``feed`` and taken by the caller."""

    def __init__(self, member: int, quorum: Quorum, timeouts: Timeouts) -> None:
        super().__init__(AGREEMENT)
        self.member = member
        self.quorum = quorum
        self.timeouts = timeouts
        self.effects: list[Effect] = []
        self.abstaining = False
        self._event: Received | BlockBuilt | BlockJudged | None = None
        self._opening = Memory(height=0)
        self._parent = ""
        self.reset()

    # --- entries

    def open(self, height: int, parent: str, memory: Memory) -> None:
        """Start on a height; ``memory`` holds what we did at it before a restart (or nothing)."""
        self._opening, self._parent = memory, parent
        self.height = height
        self.fire("open")

    def begin(self, round_: int) -> None:
        """Start a round of the open height."""
        self.round = round_
        self._prevote_timer_set = self._precommit_timer_set = False
        self.ballots.enter_round(round_)
        self._set_timer("propose", self.timeouts.propose_ms)
        self.fire("begin")
        self._review()

    def feed(self, trigger: str, event: Received | BlockBuilt | BlockJudged | None = None) -> None:
        """Take one event by its trigger, then every step that it makes possible."""
        self._event = event
        self.fire(trigger)
        self._review()

    def take_effects(self) -> list[Effect]:
        """The effects since the last call, in order."""
        effects, self.effects = self.effects, []
        return effects

    def stop_abstaining(self) -> None:
        """Our memory need not be doubted any more: cast the votes of this round that were held back."""
        self.abstaining = False
        for kind in ("prevote", "precommit"):
            if (kind, self.round) in self._withheld:
                self._cast(kind, self._withheld.pop((kind, self.round)))

    def busy_round(self) -> int | None:
        """The round that N - Q + 1 others have reached, if it is ours or later and ours has not begun."""
        ahead = self.ballots.round_reached_by(self.quorum.blocking, excluding=self.member)
        return ahead if ahead is not None and ahead >= self.round else None

    def import_certificate(self, certificate: QuorumProof) -> None:
        """Count the precommits of a verified certificate as if they had come one by one."""
        for voter, envelope in zip(certificate.voters, certificate.envelopes, strict=True):
            self._count("precommit", certificate.round, voter, certificate.block_hash, envelope)

    # --- what is known

    @property
    def certified(self) -> tuple[int, str] | None:
        """(round, hash) of a block with Q precommits in one round."""
        return self.ballots.certified

    def _proposal(self) -> Proposal | None:
        return self.ballots.proposals.get(self.round)

    def _favourite(self) -> str | None:
        """The block with Q prevotes in this round."""
        return self.ballots.tally("prevote", self.round).leader(self.quorum.votes)

    def _verdict(self, block_hash: str, *, timely: bool) -> str | None:
        """Our node's verdict; one that looked at the clock and found the block valid serves both questions."""
        strict = self._verdicts.get((block_hash, True))
        if timely or strict == "valid":
            return strict
        return self._verdicts.get((block_hash, False))

    def _is_valid(self, block_hash: str) -> bool:
        return self._verdict(block_hash, timely=False) == "valid"

    def _is_unjudged(self, block_hash: str) -> bool:
        return block_hash in self.ballots.blocks and self._verdict(block_hash, timely=False) is None

    # --- guards

    def decision_is_remembered(self) -> bool:
        return self._opening.decision is not None

    def precommit_is_cast(self) -> bool:
        return ("precommit", self.round) in self.cast

    def prevote_is_cast(self) -> bool:
        return ("prevote", self.round) in self.cast

    def may_propose(self) -> bool:
        ours = self.quorum.proposer(self.height, self.round) == self.member
        return ours and not self.abstaining and ("proposal", self.round) not in self.cast

    def has_valid_block(self) -> bool:
        return self.valid is not None

    def certified_block_is_valid(self) -> bool:
        return self.certified is not None and self._is_valid(self.certified[1])

    def certified_block_is_unjudged(self) -> bool:
        return self.certified is not None and self._is_unjudged(self.certified[1])

    def others_are_ahead(self) -> bool:
        ahead = self.busy_round()
        return ahead is not None and ahead > self.round

    def proposal_is_unjudged(self) -> bool:
        proposal = self._proposal()
        if proposal is None:
            return False
        return self._verdict(proposal.block_hash, timely=proposal.lock_proof is None) is None

    def proposal_is_acceptable(self) -> bool:
        proposal = self._proposal()
        if proposal is None:
            return False
        if self._verdict(proposal.block_hash, timely=proposal.lock_proof is None) != "valid":
            return False
        lock = self.lock
        return lock is None or lock.block_hash == proposal.block_hash or lock.proof.round <= proposal.valid_round

    def proposal_is_refused(self) -> bool:
        proposal = self._proposal()
        if proposal is None or self.proposal_is_acceptable():
            return False
        verdict = self._verdict(proposal.block_hash, timely=proposal.lock_proof is None)
        return verdict in ("valid", "invalid")

    def prevotes_agree_on_valid_block(self) -> bool:
        favourite = self._favourite()
        return favourite is not None and self._is_valid(favourite)

    def prevotes_agree_on_nil(self) -> bool:
        return self.ballots.tally("prevote", self.round).count(None) >= self.quorum.votes

    def favourite_is_unjudged(self) -> bool:
        favourite = self._favourite()
        return favourite is not None and self._is_unjudged(favourite)

    def favourite_is_newly_valid(self) -> bool:
        known = self.valid is not None and self.valid.round >= self.round
        return not known and self.prevotes_agree_on_valid_block()

    def prevotes_are_split(self) -> bool:
        heard = len(self.ballots.tally("prevote", self.round))
        return not self._prevote_timer_set and heard >= self.quorum.votes

    def precommits_agree_on_nil(self) -> bool:
        return self.ballots.tally("precommit", self.round).count(None) >= self.quorum.votes

    def precommits_are_split(self) -> bool:
        heard = len(self.ballots.tally("precommit", self.round))
        return not self._precommit_timer_set and heard >= self.quorum.votes

    # --- actions: a height and its rounds

    def reset(self) -> None:
        memory = self._opening
        self.height = memory.height
        self.round = max((vote.round for vote in memory.votes), default=0)
        self.next_round = self.round
        self.ballots = Ballots(self.quorum)
        self.cast = {(vote.kind, vote.round): vote.block_hash for vote in memory.votes}
        self.lock: LockTaken | None = memory.lock
        self.valid: QuorumProof | None = None
        self.decision: BlockDecided | None = memory.decision
        self._verdicts: dict[tuple[str, bool], str] = {}
        self._withheld: dict[tuple[str, int], str | None] = {}
        self._accused: set[tuple[str, int, int]] = set()
        self._asked = 0
        self._prevote_timer_set = self._precommit_timer_set = False
        if memory.lock is not None:
            self.valid = memory.lock.proof
            self.ballots.keep_block(memory.lock.block_hash, memory.lock.block)

    def request_block(self) -> None:
        self._emit(RequestBlock(self.height, self.round, self._parent))

    def propose_block(self) -> None:
        built = self._event
        if not isinstance(built, BlockBuilt) or built.block is None or built.block_hash is None:
            reason = built.reason if isinstance(built, BlockBuilt) else ""
            self._report("no-block-built", member=self.member, detail=reason)
            return
        self._propose(Proposal(self.height, self.round, built.block_hash, built.block))

    def propose_again(self) -> None:
        if self.valid is None:
            return
        block = self.ballots.blocks[self.valid.block_hash]
        self._propose(Proposal(self.height, self.round, self.valid.block_hash, block, self.valid))

    def _propose(self, proposal: Proposal) -> None:
        self.cast["proposal", self.round] = proposal.block_hash
        record = VoteCast("proposal", self.height, self.round, proposal.block_hash)
        self._emit(Persist((record,)), Broadcast(proposal))

    def await_proposal(self) -> None:
        """The propose timer runs from the beginning of the round; there is nothing else to do."""

    def resume_round(self) -> None:
        """After a restart: the votes we recorded in this round may never have left; say them again."""
        self._repeat_votes()

    def join_later_round(self) -> None:
        ahead = self.busy_round()
        self.next_round = self.round + 1 if ahead is None else ahead

    def end_round(self) -> None:
        self.next_round = self.round + 1

    # --- actions: what is heard

    def record_proposal(self) -> None:
        event = self._event
        if not isinstance(event, Received) or not isinstance(event.message, Proposal):
            return
        proposal = event.message
        if event.sender != self.quorum.proposer(self.height, proposal.round):
            self._report("wrong-proposer", member=event.sender, evidence=(event.envelope,))
            return
        proof = proposal.lock_proof
        if proof is not None and not self._proves(proof, "prevote", proposal.block_hash, before=proposal.round):
            self._report("bad-lock-proof", member=event.sender, evidence=(event.envelope,))
            return
        earlier = self.ballots.add_proposal(proposal, event.sender, event.envelope)
        if earlier is not None:
            self._accuse("proposal", proposal.round, event.sender, (earlier, event.envelope))
            return
        if proof is not None:
            for voter, envelope in zip(proof.voters, proof.envelopes, strict=True):
                self._count("prevote", proof.round, voter, proof.block_hash, envelope)

    def record_vote(self) -> None:
        event = self._event
        if isinstance(event, Received) and isinstance(event.message, Prevote | Precommit):
            vote: Vote = event.message
            kind: VoteKind = "prevote" if isinstance(vote, Prevote) else "precommit"
            self._count(kind, vote.round, event.sender, vote.block_hash, event.envelope)

    def record_certificate(self) -> None:
        """The certificate was counted by import_certificate; the review that follows finds it."""

    def record_verdict(self) -> None:
        judged = self._event
        if not isinstance(judged, BlockJudged):
            return
        self._verdicts[judged.block_hash, judged.timely] = judged.verdict
        if judged.verdict == "invalid":
            self._report("block-refused", detail=f"{judged.block_hash}: {judged.reason}")

    # --- actions: judging

    def judge_proposal(self) -> None:
        proposal = self._proposal()
        if proposal is not None:
            self._judge(proposal.block_hash, timely=proposal.lock_proof is None)

    def judge_certified(self) -> None:
        if self.certified is not None:
            self._judge(self.certified[1], timely=False)

    def judge_favourite(self) -> None:
        favourite = self._favourite()
        if favourite is not None:
            self._judge(favourite, timely=False)

    def _judge(self, block_hash: str, *, timely: bool) -> None:
        """Ask our node. Q votes vouch for the time of a block that is certified, locked or the favourite."""
        self._verdicts[block_hash, timely] = "pending"
        self._emit(ValidateBlock(self.height, block_hash, self.ballots.blocks[block_hash], timely))

    # --- actions: voting

    def prevote_proposal(self) -> None:
        proposal = self._proposal()
        self._cast("prevote", None if proposal is None else proposal.block_hash)

    def prevote_nil(self) -> None:
        self._cast("prevote", None)

    def lock_and_precommit(self) -> None:
        self.note_valid_block()
        if self.valid is None:
            return
        block_hash = self.valid.block_hash
        self.lock = LockTaken(self.height, block_hash, self.ballots.blocks[block_hash], self.valid)
        self._cast("precommit", block_hash, self.lock)

    def precommit_nil(self) -> None:
        self._cast("precommit", None)

    def note_valid_block(self) -> None:
        favourite = self._favourite()
        if favourite is not None:
            tally = self.ballots.tally("prevote", self.round)
            self.valid = tally.proof("prevote", self.height, self.round, favourite, self.quorum.votes)
            self.ballots.keep_block(favourite, self.ballots.blocks[favourite])

    def start_prevote_timer(self) -> None:
        self._prevote_timer_set = True
        self._set_timer("prevote", self.timeouts.prevote_ms)

    def start_precommit_timer(self) -> None:
        self._precommit_timer_set = True
        self._set_timer("precommit", self.timeouts.precommit_ms)

    def decide(self) -> None:
        if self.certified is None:
            return
        round_, block_hash = self.certified
        tally = self.ballots.tally("precommit", round_)
        certificate = tally.proof("precommit", self.height, round_, block_hash, self.quorum.votes)
        self.decision = BlockDecided(self.height, block_hash, self.ballots.blocks[block_hash], certificate)

    def _cast(self, kind: str, block_hash: str | None, lock: LockTaken | None = None) -> None:
        if self.abstaining:
            self._withheld[kind, self.round] = block_hash
            return
        self.cast[kind, self.round] = block_hash
        self._say(kind, block_hash, lock)

    def _say(self, kind: str, block_hash: str | None, lock: LockTaken | None) -> None:
        """Record a vote, then send it: in this order, so that no restart can make us say otherwise."""
        cast = VoteCast(kind, self.height, self.round, block_hash)
        vote = (Prevote if kind == "prevote" else Precommit)(self.height, self.round, block_hash)
        self._emit(Persist((cast,) if lock is None else (lock, cast)), Broadcast(vote))

    # --- actions: sending again

    def resend(self) -> None:
        """Nothing moved for a while: repeat our part, bring stragglers up to this round, ask for what we lack."""
        for key in [key for key, verdict in self._verdicts.items() if verdict == "unavailable"]:
            del self._verdicts[key]
        envelopes = list(self._repeat_votes())
        if self.round > 0:
            envelopes += self.ballots.envelopes("precommit", self.round - 1)
        proposal = self.ballots.proposal_envelope(self.round, self.member)
        if proposal is not None and len(self.ballots.tally("prevote", self.round)) < self.quorum.votes:
            envelopes.append(proposal)
        if envelopes:
            self._emit(Relay(tuple(envelopes)))
        self._ask_for_missing_block()

    def _repeat_votes(self) -> list[bytes]:
        """Envelopes of our votes in this round; a vote without one never left and is said again."""
        envelopes = []
        for kind in ("prevote", "precommit"):
            if (kind, self.round) not in self.cast:
                continue
            sent = self.ballots.envelope(kind, self.round, self.member)
            if sent is not None:
                envelopes.append(sent)
            else:
                block_hash = self.cast[kind, self.round]
                lock = self.lock if kind == "precommit" and block_hash is not None else None
                self._say(kind, block_hash, lock)
        return envelopes

    def _ask_for_missing_block(self) -> None:
        """Ask one member at a time that voted for a block whose body never reached us."""
        wanted = self.certified or self.ballots.wanted(self.round)
        if wanted is None or wanted[1] in self.ballots.blocks:
            return
        holders = [m for m in self.ballots.supporters(wanted[1]) if m != self.member]
        if holders:
            holder = holders[self._asked % len(holders)]
            self._asked += 1
            self._emit(Broadcast(BlockRequest(self.height, wanted[0], wanted[1], holder)))

    # --- small parts

    def _review(self) -> None:
        while self.fire("review"):
            pass

    def _count(self, kind: VoteKind, round_: int, voter: int, block_hash: str | None, envelope: bytes) -> None:
        earlier = self.ballots.add_vote(kind, round_, voter, block_hash, envelope)
        if earlier is not None:
            self._accuse(kind, round_, voter, (earlier, envelope))

    def _accuse(self, kind: str, round_: int, member: int, evidence: tuple[bytes, ...]) -> None:
        """Report two different signed messages for one (height, round, kind), once."""
        if (kind, round_, member) not in self._accused:
            self._accused.add((kind, round_, member))
            self._report("equivocation", member=member, detail=kind, evidence=evidence)

    def _proves(self, proof: QuorumProof, vote: VoteKind, block_hash: str, *, before: int) -> bool:
        return (
            proof.vote == vote
            and proof.height == self.height
            and proof.block_hash == block_hash
            and 0 <= proof.round < before
            and len(set(proof.voters)) >= self.quorum.votes
        )

    def _set_timer(self, name: TimerName, base_ms: int) -> None:
        self._emit(SetTimer(name, self.height, self.round, self.timeouts.grown(base_ms, self.round)))

    def _report(
        self, code: str, member: int | None = None, detail: str = "", evidence: tuple[bytes, ...] = ()
    ) -> None:
        self._emit(Report(code, self.height, self.round, member, detail, evidence))

    def _emit(self, *effects: Effect) -> None:
        self.effects.extend(effects)
