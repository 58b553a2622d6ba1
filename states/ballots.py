"""Everything heard at one height: proposals, votes and who has reached which round. Bounded in every direction."""

from __future__ import annotations

from states.messages import Proposal, QuorumProof, VoteKind
from states.quorum import Quorum, Tally

# A liar can name any round; these bounds hold what one member can make us keep. Honest members are never
# more than a round apart for long, because Q precommits of a round carry everybody into the next.
MAX_FUTURE_ROUNDS_PER_MEMBER = 4
PAST_ROUNDS_KEPT = 16


class Ballots:
    """Proposals and votes of ``height`` by round, with the signed envelopes that prove them.

    ``blocks`` holds bodies by hash; ``certificate`` is the first proof of Q precommits for one block in one round.
    """

    def __init__(self, quorum: Quorum, height: int) -> None:
        self._quorum = quorum
        self._height = height
        self._round = 0
        self._tallies: dict[tuple[VoteKind, int], Tally] = {}
        self._proposal_envelopes: dict[int, tuple[int, bytes]] = {}
        self._reached: dict[int, int] = {}
        self._kept: str | None = None
        self.proposals: dict[int, Proposal] = {}
        self.blocks: dict[str, bytes] = {}
        self.certificate: QuorumProof | None = None
        self.highest_round = 0  # that anybody claims to have reached

    # --- recording

    def add_proposal(self, proposal: Proposal, sender: int, envelope: bytes) -> bytes | None:
        """Keep the first proposal of a round. Returns the first one's envelope if this one differs."""
        first = self.proposals.get(proposal.round)
        if first is not None:
            same = first.block_hash == proposal.block_hash
            return None if same else self._proposal_envelopes[proposal.round][1]
        if proposal.round < self._round - PAST_ROUNDS_KEPT:
            return None
        self._note_reached(sender, proposal.round)
        self.proposals[proposal.round] = proposal
        self._proposal_envelopes[proposal.round] = (sender, envelope)
        # The hash covers the header only: a later copy must not replace a body that was judged already.
        self.blocks.setdefault(proposal.block_hash, proposal.block)
        self._bound_future_proposals(sender)
        return None

    def add_vote(
        self, kind: VoteKind, round_: int, voter: int, block_hash: str | None, envelope: bytes
    ) -> bytes | None:
        """Count a vote. Returns the voter's earlier, different vote of this round and kind, if any."""
        if round_ < self._round - PAST_ROUNDS_KEPT:
            return None
        tally = self._tallies.setdefault((kind, round_), Tally())
        earlier = tally.add(voter, block_hash, envelope)
        if earlier is not None:
            return earlier
        self._note_reached(voter, round_)
        if kind == "precommit" and self.certificate is None:
            self._look_for_certificate(tally, round_, block_hash)
        if round_ > self._round + 1:
            self._bound_future_votes(kind, voter)
        return None

    def _look_for_certificate(self, tally: Tally, round_: int, block_hash: str | None) -> None:
        """Prove it as soon as it can be proven: votes may be let go before the block's body has come."""
        if block_hash is not None and tally.count(block_hash) >= self._quorum.votes:
            self.certificate = tally.proof("precommit", self._height, round_, block_hash, self._quorum.votes)

    def certify(self, certificate: QuorumProof) -> None:
        """Take note of a verified certificate, however old its round is. The first one counts."""
        if self.certificate is None:
            self.certificate = certificate

    def keep_block(self, block_hash: str, block: bytes) -> None:
        """Hold the block we may have to propose again, whatever happens to the round it came in."""
        self._kept = block_hash
        self.blocks[block_hash] = block
        self._drop_unneeded_blocks()

    def replace_copy(self, proposal: Proposal, sender: int, envelope: bytes) -> None:
        """Hold this copy of a block's body in place of the one we have."""
        self.blocks[proposal.block_hash] = proposal.block
        first = self.proposals.get(proposal.round)
        same = first is not None and first.block_hash == proposal.block_hash
        if same and self._proposal_envelopes[proposal.round][0] == sender:
            self.proposals[proposal.round] = proposal
            self._proposal_envelopes[proposal.round] = (sender, envelope)

    def enter_round(self, round_: int) -> None:
        """We are in this round now: what is too old to matter is dropped."""
        self._round = round_
        oldest = round_ - PAST_ROUNDS_KEPT
        self._tallies = {key: tally for key, tally in self._tallies.items() if key[1] >= oldest}
        self._drop_proposals([r for r in self.proposals if r < oldest])

    # --- looking

    def tally(self, kind: VoteKind, round_: int) -> Tally:
        """The votes of one kind in one round (an empty tally if none were heard)."""
        return self._tallies.get((kind, round_)) or Tally()

    def round_reached_by(self, count: int, *, excluding: int) -> int | None:
        """The highest round that at least ``count`` members other than ``excluding`` have reached."""
        reached = sorted((r for member, r in self._reached.items() if member != excluding), reverse=True)
        return reached[count - 1] if 0 < count <= len(reached) else None

    def has_quorum(self, block_hash: str) -> bool:
        """Whether Q members voted for this block in one round."""
        certified = self.certificate is not None and self.certificate.block_hash == block_hash
        return certified or any(t.count(block_hash) >= self._quorum.votes for t in self._tallies.values())

    def wanted(self, round_: int) -> tuple[int, str] | None:
        """A block prevoted in this round that we do not hold, most votes first."""
        counts: dict[str, int] = {}
        for block_hash, _ in self.tally("prevote", round_).votes.values():
            if block_hash is not None and block_hash not in self.blocks:
                counts[block_hash] = counts.get(block_hash, 0) + 1
        return (round_, max(counts, key=lambda h: (counts[h], h))) if counts else None

    def supporters(self, block_hash: str) -> list[int]:
        """Members that voted for this block in any round and so held it, in member order."""
        voters = {m for tally in self._tallies.values() for m in tally.voters(block_hash)}
        if self.certificate is not None and self.certificate.block_hash == block_hash:
            voters.update(self.certificate.voters)
        return sorted(voters)

    def envelope(self, kind: VoteKind, round_: int, member: int) -> bytes | None:
        """The envelope of a member's vote."""
        vote = self.tally(kind, round_).votes.get(member)
        return None if vote is None else vote[1]

    def envelopes(self, kind: VoteKind, round_: int) -> list[bytes]:
        """The envelopes of all votes of one kind in one round, in member order."""
        votes = self.tally(kind, round_).votes
        return [votes[member][1] for member in sorted(votes)]

    def proposal_envelope(self, round_: int, sender: int) -> bytes | None:
        """The envelope of this round's proposal if ``sender`` made it."""
        kept = self._proposal_envelopes.get(round_)
        return kept[1] if kept is not None and kept[0] == sender else None

    def proposal_envelope_of(self, block_hash: str) -> bytes | None:
        """The envelope of the latest proposal of this block that carries the body we hold, whoever made it."""
        held = self.blocks.get(block_hash)
        rounds = [r for r, p in self.proposals.items() if p.block_hash == block_hash and p.block == held]
        return self._proposal_envelopes[max(rounds)][1] if rounds else None

    # --- bounds

    def _note_reached(self, member: int, round_: int) -> None:
        self._reached[member] = max(round_, self._reached.get(member, 0))
        self.highest_round = max(round_, self.highest_round)

    def _bound_future_votes(self, kind: VoteKind, voter: int) -> None:
        future = sorted(
            key[1]
            for key, tally in self._tallies.items()
            if key[0] == kind and key[1] > self._round + 1 and voter in tally.votes
        )
        for round_ in future[:-MAX_FUTURE_ROUNDS_PER_MEMBER]:
            tally = self._tallies[kind, round_]
            tally.discard(voter)
            if not tally.votes:
                del self._tallies[kind, round_]

    def _bound_future_proposals(self, sender: int) -> None:
        future = sorted(
            r for r, kept in self._proposal_envelopes.items() if r > self._round + 1 and kept[0] == sender
        )
        self._drop_proposals(future[:-MAX_FUTURE_ROUNDS_PER_MEMBER])

    def _drop_proposals(self, rounds: list[int]) -> None:
        for round_ in rounds:
            del self.proposals[round_], self._proposal_envelopes[round_]
        self._drop_unneeded_blocks()

    def _drop_unneeded_blocks(self) -> None:
        """Forget the bodies that no proposal at hand, lock or certificate speaks of."""
        needed = {proposal.block_hash for proposal in self.proposals.values()}
        needed.add(self._kept or "")
        if self.certificate is not None:
            needed.add(self.certificate.block_hash)
        self.blocks = {block_hash: body for block_hash, body in self.blocks.items() if block_hash in needed}
