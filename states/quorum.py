"""The arithmetic of N, M and Q, and the counting of votes."""

from __future__ import annotations

import msgspec

from states.messages import QuorumProof, VoteKind


class Quorum(msgspec.Struct, frozen=True):
    """N members, M block signatures, Q votes. M and N are the chain's; Q is the federation's choice.

    Q must reach M (whoever is needed to sign must have been able to refuse) and a majority of N (two quorums
    share a member). Raising Q buys safety against liars and costs tolerance of crashes.
    """

    members: int
    threshold: int
    votes: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= self.members:
            raise ValueError(f"threshold M is {self.threshold}; it must lie between 1 and N = {self.members}")
        least = default_vote_quorum(self.members, self.threshold)
        if not least <= self.votes <= self.members:
            raise ValueError(f"vote quorum Q is {self.votes}; it must lie between {least} and {self.members}")

    @property
    def crash_tolerance(self) -> int:
        """How many members may be down while blocks go on: N - max(Q, M)."""
        return self.members - max(self.votes, self.threshold)

    @property
    def equivocators_for_two_decisions(self) -> int:
        """How many members must vote two ways before two blocks can be decided at one height: 2Q - N."""
        return 2 * self.votes - self.members

    @property
    def blocking(self) -> int:
        """The least number of members without whom no quorum can form: N - Q + 1."""
        return self.members - self.votes + 1

    def proposer(self, height: int, round_: int) -> int:
        """The member whose turn it is: (height + round) mod N."""
        return (height + round_) % self.members


def default_vote_quorum(members: int, threshold: int) -> int:
    """The smallest safe Q: max(M, floor(N/2) + 1)."""
    return max(threshold, members // 2 + 1)


class Tally:
    """Votes of one kind in one round: each member's first vote counts, a different second one is evidence."""

    def __init__(self) -> None:
        self.votes: dict[int, tuple[str | None, bytes]] = {}
        self._counts: dict[str | None, int] = {}

    def add(self, member: int, block_hash: str | None, envelope: bytes) -> bytes | None:
        """Count a vote. Returns the envelope of the member's earlier, different vote if there is one."""
        earlier = self.votes.get(member)
        if earlier is not None:
            return None if earlier[0] == block_hash else earlier[1]
        self.votes[member] = (block_hash, envelope)
        self._counts[block_hash] = self._counts.get(block_hash, 0) + 1
        return None

    def discard(self, member: int) -> None:
        """Forget a member's vote (to keep what one member can make us store bounded)."""
        vote = self.votes.pop(member, None)
        if vote is not None:
            self._counts[vote[0]] -= 1
            if self._counts[vote[0]] == 0:
                del self._counts[vote[0]]

    def count(self, block_hash: str | None) -> int:
        """How many members voted for this hash (``None``: nil)."""
        return self._counts.get(block_hash, 0)

    def leader(self, votes: int) -> str | None:
        """The block hash with at least ``votes`` votes, if any (nil votes are not looked at)."""
        return next((h for h, n in self._counts.items() if h is not None and n >= votes), None)

    def voters(self, block_hash: str | None) -> tuple[int, ...]:
        """Members that voted for this hash, in member order."""
        return tuple(sorted(member for member, vote in self.votes.items() if vote[0] == block_hash))

    def proof(self, kind: VoteKind, height: int, round_: int, block_hash: str, votes: int) -> QuorumProof:
        """The first ``votes`` votes for this hash in member order, as a proof others can check."""
        voters = self.voters(block_hash)[:votes]
        envelopes = tuple(self.votes[member][1] for member in voters)
        return QuorumProof(kind, height, round_, block_hash, voters, envelopes)

    def __len__(self) -> int:
        return len(self.votes)
