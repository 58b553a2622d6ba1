"""Which block: proposal, prevote, precommit, lock, certificate for one height (used while in Propose).

Tendermint's algorithm as the rows of states/table.py; this file holds the actions that compute, and
agreement_view.py the guards that look. The safety argument: a member precommits (and locks on) a block only after
Q prevotes for it in that round, and while locked prevotes another block only against Q prevotes for that one in a
later round. Two quorums share at least 2Q - N members, so two certificates need that many members to vote two ways.
"""

from __future__ import annotations

from states.accusations import Accusations
from states.agreement_view import AgreementView, Timeouts
from states.ballots import Ballots
from states.effects import (
    PATIENCE_RESENDS,
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
from states.memory import BlockDecided, LockTaken, Memory, VoteCast
from states.messages import BlockRequest, Precommit, Prevote, Proposal, QuorumProof, Vote, VoteKind
from states.quorum import Quorum
from states.table import AGREEMENT
from states.verdicts import Verdicts

__all__ = ["Agreement", "Timeouts"]

# How far a member that waited in vain goes on at a time: a liar may be all it hears of, and name any round.
MAX_ROUNDS_JOINED = 16
# How often the votes of others are sent again beside our own: not every link works in both directions.
RELAY_EVERY_RESENDS = 4


class Agreement(AgreementView):
    """The agreement machine of one member. ``effects`` is filled by each ``feed`` and taken by the caller."""

    table = AGREEMENT

    def __init__(self, member: int, quorum: Quorum, timeouts: Timeouts) -> None:
        super().__init__()
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
        self._resends = 0
        self._present.clear()
        self._prevote_timer_set = self._precommit_timer_set = False
        self.ballots.enter_round(round_)
        self.verdicts.keep_only(self.ballots.blocks)
        self.cast = {(kind, r): vote for (kind, r), vote in self.cast.items() if r >= round_}
        self._withheld.clear()
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
        """Our memory need not be doubted any more."""
        self.abstaining = False
        self.feed("abstention_ended")

    def note_presence(self, member: int, round_: int | None) -> None:
        """A member says that it is up, and in this round of our height; None if it does not vote at all."""
        if round_ is None:
            self._present.pop(member, None)
        else:
            self._present[member] = round_

    def import_certificate(self, certificate: QuorumProof) -> None:
        """Take a verified certificate, and its votes as if they had come one by one."""
        self._count_proof(certificate)
        self.ballots.certify(certificate)

    def hand_over(self, block_hash: str) -> bool:
        """Send a block to a member that lacks its body. False if we cannot.

        After a restart we have a locked block without its proposer's envelope. Then we send a copy of our own: what
        makes it one, and no proposal, is that it is not our turn.
        """
        envelope = self.ballots.proposal_envelope_of(block_hash)
        if envelope is not None:
            self._emit(Relay((envelope,)))
            return True
        proof, block = self.valid, self.ballots.blocks.get(block_hash)
        if proof is None or proof.block_hash != block_hash or block is None:
            return False
        later = proof.round + 1
        not_our_turn = later + (self.quorum.proposer(self.height, later) == self.member)
        self._emit(Broadcast(Proposal(self.height, not_our_turn, block_hash, block, proof)))
        return True

    def accuse(
        self, code: str, member: int, round_: int, evidence: tuple[bytes, ...] = (), detail: str = ""
    ) -> None:
        """Report a member's fault, once for each round and ``detail``, and not without end."""
        if self._accusations.is_new(code, member, detail, round_):
            self._emit(Report(code, self.height, round_, member, detail, evidence))

    # --- actions: a height and its rounds

    def reset(self) -> None:
        memory = self._opening
        self.height = memory.height
        self.round = max((vote.round for vote in memory.votes), default=0)
        self.next_round = self.round
        self.ballots = Ballots(self.quorum, memory.height)
        self.cast = {(vote.kind, vote.round): vote.block_hash for vote in memory.votes}
        self.lock = memory.lock
        self.valid = None
        self.decision = memory.decision
        self.verdicts = Verdicts()
        self._withheld: dict[str, str | None] = {}
        self._accusations = Accusations()
        self._present: dict[int, int] = {}
        self._resends = self._asked = self._copies_asked = self._copies_tried = 0
        self._prevote_timer_set = self._precommit_timer_set = False
        if memory.lock is not None:
            self.valid = memory.lock.proof
            self._count_proof(memory.lock.proof)
            self.ballots.keep_block(memory.lock.block_hash, memory.lock.block)
        if memory.decision is not None:
            self.import_certificate(memory.decision.certificate)
            self.ballots.keep_block(memory.decision.block_hash, memory.decision.block)

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
        envelopes = self._repeat_votes()
        if envelopes:
            self._emit(Relay(tuple(envelopes)))

    def join_later_round(self) -> None:
        ahead = self.busy_round()
        self.next_round = self.round + 1 if ahead is None else ahead

    def join_nearest_round(self) -> None:
        nearest = min(round_ for round_ in self._present.values() if round_ > self.round)
        self.next_round = min(nearest, self.round + MAX_ROUNDS_JOINED)

    def end_round(self) -> None:
        self.next_round = self.round + 1

    # --- actions: effects were dropped, because a record could not be written

    def renew(self) -> None:
        """Ask and time again what the review that follows finds open; ``resend`` says lost votes again."""
        self.verdicts.forget_pending()
        self._prevote_timer_set = self._precommit_timer_set = False

    def renew_proposal_time(self) -> None:
        self.renew()
        self._set_timer("propose", self.timeouts.propose_ms)

    def renew_block_request(self) -> None:
        self.renew_proposal_time()
        self.request_block()

    # --- actions: what is heard

    def record_proposal(self) -> None:
        event = self._event
        if not isinstance(event, Received) or not isinstance(event.message, Proposal):
            return
        proposal, proof = event.message, event.message.lock_proof
        if proof is not None:
            if not self._proves(proof, "prevote", proposal.block_hash, before=proposal.round):
                self.accuse("bad-lock-proof", event.sender, proposal.round, (event.envelope,))
                return
            self._count_proof(proof)
        if event.sender == self.quorum.proposer(self.height, proposal.round):
            earlier = self.ballots.add_proposal(proposal, event.sender, event.envelope)
            if earlier is not None:
                evidence = (earlier, event.envelope)
                self.accuse("equivocation", event.sender, proposal.round, evidence, "proposal")
        elif proof is None:
            self.accuse("wrong-proposer", event.sender, proposal.round, (event.envelope,))
            return
        if proof is not None or self.ballots.has_quorum(proposal.block_hash):
            self._consider_copy(proposal, event.sender, event.envelope)

    def record_vote(self) -> None:
        event = self._event
        if isinstance(event, Received) and isinstance(event.message, Prevote | Precommit):
            vote: Vote = event.message
            kind: VoteKind = "prevote" if isinstance(vote, Prevote) else "precommit"
            self._count(kind, vote.round, event.sender, vote.block_hash, event.envelope)

    def _consider_copy(self, proposal: Proposal, sender: int, envelope: bytes) -> None:
        """Take a block's body from whoever sends it, if Q members voted for it and ours is missing or refused.

        The hash covers the header only: a liar can send a header with a spoiled body. Our node refuses that,
        and must see the one that Q members found valid.
        """
        if proposal.block_hash in self.ballots.blocks:
            same = self.ballots.blocks[proposal.block_hash] == proposal.block
            if same or not self._is_doubtful(proposal.block_hash):
                return
            self._copies_tried += 1
        self.ballots.replace_copy(proposal, sender, envelope)

    def _is_doubtful(self, block_hash: str) -> bool:
        """Whether our node refused the body we hold, and there may be a better one.

        Only so many are tried in a while: a liar could have our node judge for ever.
        """
        refused = self.verdicts.is_refused(block_hash, self.ballots.blocks[block_hash])
        return refused and self._copies_tried < self.quorum.members

    def record_certificate(self) -> None:
        """The certificate was counted by import_certificate; the review that follows finds it."""

    def record_verdict(self) -> None:
        judged = self._event
        if not isinstance(judged, BlockJudged):
            return
        if self.verdicts.answer(judged) and judged.verdict == "invalid":
            self._report("block-refused", detail=f"{judged.block_hash}: {judged.reason}")

    # --- actions: judging

    def judge_proposal(self) -> None:
        proposal = self._proposal()
        if proposal is not None:
            self._judge(proposal.block_hash, timely=proposal.lock_proof is None)

    def judge_certified(self) -> None:
        self._judge(self._certified_hash(), timely=False)

    def judge_favourite(self) -> None:
        favourite = self._favourite()
        if favourite is not None:
            self._judge(favourite, timely=False)

    def _judge(self, block_hash: str, *, timely: bool) -> None:
        """Ask our node. Q votes vouch for the time of a block that is certified, locked or the favourite."""
        body = self.ballots.blocks[block_hash]
        self.verdicts.ask(block_hash, body, timely=timely)
        self._emit(ValidateBlock(self.height, block_hash, body, timely))

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
        self._cast("precommit", block_hash)

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
        certificate = self.ballots.certificate
        if certificate is not None:
            block = self.ballots.blocks[certificate.block_hash]
            self.decision = BlockDecided(self.height, certificate.block_hash, block, certificate)

    def cast_withheld(self) -> None:
        """Cast the votes of this round that were held back while our memory was in doubt."""
        withheld, self._withheld = self._withheld, {}
        for kind, block_hash in withheld.items():
            self._cast(kind, block_hash)

    def _cast(self, kind: str, block_hash: str | None) -> None:
        if self.abstaining:
            self._withheld[kind] = block_hash
            return
        self.cast[kind, self.round] = block_hash
        self._say(kind, block_hash)

    def _say(self, kind: str, block_hash: str | None) -> None:
        """Record a vote, then send it: in this order, so that no restart can make us say otherwise."""
        cast = VoteCast(kind, self.height, self.round, block_hash)
        vote = (Prevote if kind == "prevote" else Precommit)(self.height, self.round, block_hash)
        locks = kind == "precommit" and block_hash is not None and self.lock is not None
        self._emit(Persist((self.lock, cast) if locks and self.lock is not None else (cast,)), Broadcast(vote))

    # --- actions: sending again

    def resend(self) -> None:
        """Nothing moved for a while: repeat our part, bring stragglers up to this round, ask for what we lack."""
        if self._waited_in_vain():
            self._present.clear()  # who is down by now must not be waited for
        self._resends += 1
        if self._resends % PATIENCE_RESENDS == 0:
            self._copies_asked = self._copies_tried = 0
        self.verdicts.retry(self.ballots.has_quorum)
        envelopes = self._repeat_votes()
        if self.round > 0:
            envelopes += self.ballots.envelopes("precommit", self.round - 1)
        if self._resends % RELAY_EVERY_RESENDS == 0:
            envelopes += self.ballots.envelopes("prevote", self.round)
            envelopes += self.ballots.envelopes("precommit", self.round)
        proposal = self.ballots.proposal_envelope(self.round, self.member)
        # Less and less often: it may be large, and who has heard of a block asks for it.
        rare = self._resends & (self._resends - 1) == 0
        if proposal is not None and rare and len(self.ballots.tally("prevote", self.round)) < self.quorum.votes:
            envelopes.append(proposal)
        if envelopes:
            self._emit(Relay(tuple(dict.fromkeys(envelopes))))
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
                self._say(kind, self.cast[kind, self.round])
        return envelopes

    def _ask_for_missing_block(self) -> None:
        """Ask one member at a time that voted for a block whose body never reached us."""
        wanted = self._wanted_block()
        if wanted is None:
            return
        round_, block_hash = wanted
        holders = [m for m in self.ballots.supporters(block_hash) if m != self.member]
        if holders:
            holder = holders[self._asked % len(holders)]
            self._asked += 1
            self._emit(Broadcast(BlockRequest(self.height, round_, block_hash, holder)))

    def _wanted_block(self) -> tuple[int, str] | None:
        """(round, hash) of a block whose body we lack, or hold in a copy that our node refused."""
        certificate = self.ballots.certificate
        if certificate is None:
            return self.ballots.wanted(self.round)
        wanted = (certificate.round, certificate.block_hash)
        if certificate.block_hash not in self.ballots.blocks:
            return wanted
        if not self._is_doubtful(certificate.block_hash) or self._copies_asked >= self.quorum.members:
            return None
        self._copies_asked += 1
        return wanted

    # --- small parts

    def _review(self) -> None:
        while self.fire("review"):
            pass

    def _count(self, kind: VoteKind, round_: int, voter: int, block_hash: str | None, envelope: bytes) -> None:
        earlier = self.ballots.add_vote(kind, round_, voter, block_hash, envelope)
        if earlier is not None:
            self.accuse("equivocation", voter, round_, (earlier, envelope), kind)

    def _count_proof(self, proof: QuorumProof) -> None:
        for voter, envelope in zip(proof.voters, proof.envelopes, strict=True):
            self._count(proof.vote, proof.round, voter, proof.block_hash, envelope)

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
