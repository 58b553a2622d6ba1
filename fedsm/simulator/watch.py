"""What must hold of everything that honest members do, checked when they do it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from fedsm.simulator.bounds import check_bounds
from fedsm.simulator.disk import Store
from fedsm.simulator.violation import Violation
from fedsm.simulator.wire import is_word_of, unseal
from states.effects import Report
from states.events import BlockJudged
from states.memory import BlockDecided, LockTaken, Record, VoteCast
from states.messages import BlockSignature, Message, Precommit, Prevote, Proposal, QuorumProof
from states.quorum import Quorum
from states.round import Round

# Reports that accuse a member; of honest ones there must be none.
ACCUSATIONS = {"equivocation", "double-signature", "wrong-proposer", "bad-lock-proof", "bad-certificate"}


class Watch:
    """Sees all members at once. What ``liars`` do is not judged, and what they are accused of is true.

    ``verifies`` says whether a member's key made a block signature. ``rounds_begun`` counts the different rounds of
    different heights that members took part in. Every method raises Violation.
    """

    def __init__(
        self, quorum: Quorum, liars: frozenset[int], verifies: Callable[[int, str, bytes], bool] = is_word_of
    ) -> None:
        self.quorum = quorum
        self._verifies = verifies
        self.liars = liars
        self.votes: dict[tuple[int, str, int, int], str | None] = {}
        self.prevotes: dict[tuple[int, int, str | None], set[int]] = defaultdict(set)
        self.proposed: set[tuple[int, int, str]] = set()
        self.decided: dict[int, str] = {}
        self.deciders: dict[tuple[int, int], str] = {}
        self.found_valid: set[tuple[int, str]] = set()
        self.signatures: dict[tuple[int, int], tuple[str, bytes]] = {}
        self.rounds: dict[int, tuple[Round, int, str, int]] = {}
        self._begun: set[tuple[int, int]] = set()

    @property
    def rounds_begun(self) -> int:
        """How many rounds there were."""
        return len(self._begun)

    def rounds_above(self, height: int) -> set[tuple[int, int]]:
        """The rounds (height and round) that members took part in above a height."""
        return {begun for begun in self._begun if begun[0] > height}

    # --- what members write down

    def recorded(self, member: int, records: Sequence[Record]) -> None:
        """A member wrote this to its disk."""
        for record in records:
            if isinstance(record, LockTaken):
                self.check_proof(record.proof, "prevote", record.height, record.block_hash)
            elif isinstance(record, BlockDecided):
                self.check_decision(member, record)

    def check_decision(self, member: int, decision: BlockDecided) -> None:
        """One block a height, for all members and for ever, with a certificate, found valid by the own node."""
        height, block_hash = decision.height, decision.block_hash
        decided = self.decided.setdefault(height, block_hash)
        if decided != block_hash:
            raise Violation("two-decisions", f"height {height}: {decided}, and {block_hash} by member {member}")
        self.check_proof(decision.certificate, "precommit", height, block_hash)
        self._check_found_valid(member, "decides", block_hash)
        self.deciders[member, height] = block_hash

    def check_proof(self, proof: QuorumProof, kind: str, height: int, block_hash: str) -> None:
        """Q different members' own votes for this block."""
        if (proof.vote, proof.height, proof.block_hash) != (kind, height, block_hash):
            raise Violation("bad-proof", f"{proof} is no proof of {kind}s for {block_hash} at height {height}")
        if not len(set(proof.voters)) == len(proof.voters) == len(proof.envelopes) >= self.quorum.votes:
            raise Violation("bad-proof", f"height {height}: members {proof.voters} are no quorum")
        vote = (Prevote if kind == "prevote" else Precommit)(height, proof.round, block_hash)
        for voter, envelope in zip(proof.voters, proof.envelopes, strict=True):
            wire = unseal(envelope)
            if wire.forger is not None or (wire.sender, wire.message) != (voter, vote):
                raise Violation("bad-proof", f"{vote} of member {voter} is proven by {wire}")

    # --- what members say

    def said(self, member: int, message: Message, store: Store) -> None:
        """A member broadcasts a message; ``store`` is what is on its disk at that moment."""
        if isinstance(message, Prevote | Precommit):
            self.check_vote(member, message, store)
        elif isinstance(message, Proposal):
            self.check_proposal(member, message, store)
        elif isinstance(message, BlockSignature):
            self.check_proof(message.certificate, "precommit", message.height, message.block_hash)
            if self.signatures.get((member, message.height)) != (message.block_hash, message.signature):
                raise Violation("false-signature", f"member {member} sends a signature that it did not make")

    def lied(self, member: int, message: Message) -> None:
        """A liar's word counts for what others may conclude from it."""
        if isinstance(message, Prevote):
            self.prevotes[message.height, message.round, message.block_hash].add(member)
        elif isinstance(message, Proposal):
            self._note_proposal(member, message)

    def check_vote(self, member: int, vote: Prevote | Precommit, store: Store) -> None:
        """Recorded, the only one of its round and kind, for a block found valid, and not against the lock."""
        kind = "prevote" if isinstance(vote, Prevote) else "precommit"
        height, round_, block_hash = vote.height, vote.round, vote.block_hash
        self._check_only_one(member, kind, vote, store)
        if isinstance(vote, Prevote):
            self.prevotes[height, round_, block_hash].add(member)
        if block_hash is None:
            return
        if (height, round_, block_hash) not in self.proposed:
            raise Violation("unproposed-block", f"member {member} {kind}s {block_hash} in round {round_}")
        self._check_found_valid(member, f"{kind}s", block_hash)
        lock = store.lock(height)
        if isinstance(vote, Precommit):
            if lock is None or (lock.block_hash, lock.proof.round) != (block_hash, round_):
                raise Violation("unlocked-precommit", f"member {member} precommits {block_hash} in round {round_}")
        elif lock is not None and lock.block_hash != block_hash and lock.proof.round < round_:
            rounds = range(lock.proof.round, round_)
            if not any(len(self.prevotes[height, r, block_hash]) >= self.quorum.votes for r in rounds):
                raise Violation(
                    "vote-against-lock",
                    f"member {member} prevotes {block_hash} in round {round_} of height {height},"
                    f" and is locked on {lock.block_hash} since round {lock.proof.round}",
                )

    def check_proposal(self, member: int, proposal: Proposal, store: Store) -> None:
        """A proposal in turn is the only one of its round; others carry a proof."""
        height, round_, block_hash = proposal.height, proposal.round, proposal.block_hash
        self._note_proposal(member, proposal)
        if member == self.quorum.proposer(height, round_):
            self._check_only_one(member, "proposal", proposal, store)
        elif proposal.lock_proof is None:
            raise Violation("proposal-out-of-turn", f"member {member} in round {round_} of height {height}")
        if proposal.lock_proof is not None:
            if proposal.lock_proof.round >= round_:
                raise Violation("bad-proof", f"member {member} proposes with a proof of round {round_} or later")
            self.check_proof(proposal.lock_proof, "prevote", height, block_hash)

    def _note_proposal(self, member: int, proposal: Proposal) -> None:
        """What may be voted for in a round is what its proposer proposed in it."""
        if member == self.quorum.proposer(proposal.height, proposal.round):
            self.proposed.add((proposal.height, proposal.round, proposal.block_hash))

    def _check_only_one(self, member: int, kind: str, said: Prevote | Precommit | Proposal, store: Store) -> None:
        height, round_, block_hash = said.height, said.round, said.block_hash
        before = self.votes.setdefault((member, kind, height, round_), block_hash)
        if before != block_hash:
            raise Violation(
                "two-votes", f"member {member}, height {height} round {round_}: {kind} {before} and {block_hash}"
            )
        record = VoteCast(kind, height, round_, block_hash)
        if store.vote(height, round_, kind) != record:
            raise Violation("unrecorded-vote", f"member {member} says what is not on its disk: {record}")

    def _check_found_valid(self, member: int, does: str, block_hash: str) -> None:
        if (member, block_hash) not in self.found_valid:
            raise Violation("unjudged-block", f"member {member} {does} {block_hash} before its node found it valid")

    def signed(self, member: int, height: int, block_hash: str, signature: bytes) -> None:
        """A signature left a member's signer."""
        if not self._verifies(member, block_hash, signature):
            raise Violation("false-signature", f"member {member} gives {signature!r} for {block_hash}")
        if self.deciders.get((member, height)) != block_hash:
            raise Violation("undecided-signature", f"member {member} signs {block_hash} at height {height}")
        given = self.signatures.setdefault((member, height), (block_hash, signature))
        if given != (block_hash, signature):
            raise Violation("two-signatures", f"member {member} at height {height}: {given[0]} and {block_hash}")

    def combined(self, height: int, block_hash: str, signatures: tuple[tuple[int, bytes], ...]) -> None:
        """A member puts signatures into a block."""
        if not len({member for member, _ in signatures}) == len(signatures) == self.quorum.threshold:
            raise Violation("bad-combination", f"height {height}: {len(signatures)} signatures")
        for member, signature in signatures:
            if not self._verifies(member, block_hash, signature):
                raise Violation("false-signature", f"height {height}: {signature!r} is not of member {member}")
            if member not in self.liars and self.signatures.get((member, height)) != (block_hash, signature):
                raise Violation("false-signature", f"height {height}: member {member} did not give it")

    # --- what members know and think

    def judged(self, member: int, judged: BlockJudged) -> None:
        """A member's node gave its verdict on a block."""
        if judged.verdict == "valid":
            self.found_valid.add((member, judged.block_hash))

    def stepped(self, member: int, machine: Round) -> None:
        """Within one life and height, rounds only go up; and nothing grows without end."""
        before = self.rounds.get(member)
        now = (machine, machine.height, machine.tip, machine.round)
        if before == now:
            return
        if before is not None and before[0] is machine and before[1:3] == now[1:3] and before[3] > now[3]:
            raise Violation("round-goes-back", f"member {member} from round {before[3]} to {now[3]}")
        self.rounds[member] = now
        if machine.height > 0:
            self._begun.add((machine.height, machine.round))
        check_bounds(machine, self.quorum)

    def reported(self, member: int, report: Report) -> None:
        """A member reports something."""
        if report.code in ACCUSATIONS and report.member not in self.liars:
            raise Violation("false-accusation", f"by member {member}: {report}")
