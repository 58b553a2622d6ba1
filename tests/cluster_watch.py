"""What must hold of everything that honest members do, checked when they do it; AssertionError when it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from states.ballots import MAX_FUTURE_ROUNDS_PER_MEMBER, PAST_ROUNDS_KEPT
from states.effects import Report
from states.events import BlockJudged
from states.mailbox import MAX_EARLY_PER_MEMBER
from states.memory import BlockDecided, LockTaken, Record, VoteCast
from states.messages import BlockSignature, Message, Precommit, Prevote, Proposal, QuorumProof
from states.quorum import Quorum
from states.round import Round

# Reports that accuse a member; of honest ones there must be none.
ACCUSATIONS = {"equivocation", "double-signature", "wrong-proposer", "bad-lock-proof", "bad-certificate"}


class Wire(msgspec.Struct, frozen=True):
    """A stand-in for the signed envelope: who says what. ``copy`` tells apart those sealed at different times."""

    sender: int
    message: Message
    copy: int = 0


def seal(sender: int, message: Message, copy: int = 0) -> bytes:
    return msgspec.msgpack.encode(Wire(sender, message, copy))


def unseal(envelope: bytes) -> Wire:
    return msgspec.msgpack.decode(envelope, type=Wire)


class Watch:
    """Sees all members at once. What ``liars`` do is not judged, and what they are accused of is true."""

    def __init__(self, quorum: Quorum, liars: frozenset[int]) -> None:
        self.quorum = quorum
        self.liars = liars
        self.votes: dict[tuple[int, str, int, int], str | None] = {}
        self.prevotes: dict[tuple[int, int, str | None], set[int]] = defaultdict(set)
        self.recorded_votes: set[tuple[int, VoteCast]] = set()
        self.locks: dict[tuple[int, int], LockTaken] = {}
        self.decided: dict[int, str] = {}
        self.deciders: dict[tuple[int, int], str] = {}
        self.found_valid: set[tuple[int, str]] = set()
        self.signatures: dict[tuple[int, int], tuple[str, bytes]] = {}
        self.rounds: dict[int, tuple[Round, int, str, int]] = {}

    def forget(self, member: int) -> None:
        """The member lost its disk: what it said before is not on record any more."""
        self.recorded_votes = {(m, vote) for m, vote in self.recorded_votes if m != member}

    # --- what members write down

    def recorded(self, member: int, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, VoteCast):
                self.recorded_votes.add((member, record))
            elif isinstance(record, LockTaken):
                self.check_proof(record.proof, "prevote", record.height, record.block_hash)
                self.locks[member, record.height] = record
            else:
                self.check_decision(member, record)

    def check_decision(self, member: int, decision: BlockDecided) -> None:
        """One block a height, for all members and for ever, with a certificate, found valid by the own node."""
        height, block_hash = decision.height, decision.block_hash
        assert self.decided.setdefault(height, block_hash) == block_hash, f"two decisions at height {height}"
        self.check_proof(decision.certificate, "precommit", height, block_hash)
        assert (member, block_hash) in self.found_valid, f"{member} decides what its node did not find valid"
        self.deciders[member, height] = block_hash

    def check_proof(self, proof: QuorumProof, kind: str, height: int, block_hash: str) -> None:
        assert (proof.vote, proof.height, proof.block_hash) == (kind, height, block_hash)
        assert len(set(proof.voters)) == len(proof.voters) == len(proof.envelopes) >= self.quorum.votes
        vote = (Prevote if kind == "prevote" else Precommit)(height, proof.round, block_hash)
        for voter, envelope in zip(proof.voters, proof.envelopes, strict=True):
            wire = unseal(envelope)
            assert (wire.sender, wire.message) == (voter, vote), f"{proof} is proven by {wire}"

    # --- what members say

    def said(self, member: int, message: Message) -> None:
        if isinstance(message, Prevote | Precommit):
            self.check_vote(member, message)
        elif isinstance(message, Proposal):
            self.check_proposal(member, message)
        elif isinstance(message, BlockSignature):
            self.check_proof(message.certificate, "precommit", message.height, message.block_hash)
            assert self.signatures[member, message.height] == (message.block_hash, message.signature)

    def lied(self, member: int, message: Message) -> None:
        """A liar's word counts for what others may conclude from it."""
        if isinstance(message, Prevote):
            self.prevotes[message.height, message.round, message.block_hash].add(member)
        elif isinstance(message, BlockSignature):
            self.signatures[member, message.height] = (message.block_hash, message.signature)

    def check_vote(self, member: int, vote: Prevote | Precommit) -> None:
        kind = "prevote" if isinstance(vote, Prevote) else "precommit"
        height, round_, block_hash = vote.height, vote.round, vote.block_hash
        said = self.votes.setdefault((member, kind, height, round_), block_hash)
        assert said == block_hash, f"member {member} {kind}s {said} and {block_hash} in round {round_}"
        record = VoteCast(kind, height, round_, block_hash)
        assert (member, record) in self.recorded_votes, f"member {member} did not record {record}"
        if isinstance(vote, Prevote):
            self.prevotes[height, round_, block_hash].add(member)
        if block_hash is None:
            return
        assert (member, block_hash) in self.found_valid, f"{member} votes for what its node did not find valid"
        lock = self.locks.get((member, height))
        if isinstance(vote, Precommit):
            assert lock is not None, f"{member} precommits without a lock"
            assert (lock.block_hash, lock.proof.round) == (block_hash, round_)
        elif lock is not None and lock.block_hash != block_hash:
            assert any(
                len(self.prevotes[height, r, block_hash]) >= self.quorum.votes
                for r in range(lock.proof.round, round_)
            ), f"member {member} prevotes against its lock"

    def check_proposal(self, member: int, proposal: Proposal) -> None:
        height, round_, block_hash = proposal.height, proposal.round, proposal.block_hash
        if member == self.quorum.proposer(height, round_):
            said = self.votes.setdefault((member, "proposal", height, round_), block_hash)
            assert said == block_hash, f"member {member} proposes two blocks in round {round_}"
            record = VoteCast("proposal", height, round_, block_hash)
            assert (member, record) in self.recorded_votes
        else:
            assert proposal.lock_proof is not None, f"member {member} proposes out of turn"
        if proposal.lock_proof is not None:
            assert proposal.lock_proof.round < round_
            self.check_proof(proposal.lock_proof, "prevote", height, block_hash)

    def signed(self, member: int, height: int, block_hash: str, signature: bytes) -> None:
        assert self.deciders.get((member, height)) == block_hash, f"{member} signs what it did not decide"
        given = self.signatures.setdefault((member, height), (block_hash, signature))
        assert given == (block_hash, signature), f"member {member} signs twice at height {height}"

    def combined(self, height: int, block_hash: str, signatures: tuple[tuple[int, bytes], ...]) -> None:
        assert len({member for member, _ in signatures}) == len(signatures) == self.quorum.threshold
        for member, signature in signatures:
            assert self.signatures[member, height] == (block_hash, signature)

    # --- what members know and think

    def judged(self, member: int, judged: BlockJudged) -> None:
        if judged.verdict == "valid":
            self.found_valid.add((member, judged.block_hash))

    def stepped(self, member: int, machine: Round) -> None:
        """Within one life and height, rounds only go up; and nothing grows without end."""
        before = self.rounds.get(member)
        now = (machine, machine.height, machine.tip, machine.round)
        if before is not None and before[0] is machine and before[1:3] == now[1:3]:
            assert machine.round >= before[3], f"member {member} goes back to round {machine.round}"
        self.rounds[member] = now

    def check_bounds(self, machine: Round) -> None:
        """What one height makes a member keep, whatever the others say."""
        n, agreement = self.quorum.members, machine.agreement
        ballots = agreement.ballots
        near, far = PAST_ROUNDS_KEPT + 2, n * MAX_FUTURE_ROUNDS_PER_MEMBER
        assert len(ballots._tallies) <= 2 * (near + far)
        assert len(ballots.proposals) <= near + far
        assert len(ballots.blocks) <= near + far + 2
        assert len(ballots._reached) <= n
        assert len(agreement.verdicts._given) <= 2 * (near + far + 3)
        if agreement.state not in ("Waiting", "Decided"):  # there it is as long as the guard's memory
            assert len(agreement.cast) <= 3
        assert len(machine._signatures._by_hash) <= n
        assert all(len(kept) <= MAX_EARLY_PER_MEMBER for kept in machine._mailbox._early.values())

    def reported(self, report: Report) -> None:
        if report.code in ACCUSATIONS:
            assert report.member in self.liars, f"an honest member is accused: {report}"
