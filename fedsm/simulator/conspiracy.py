"""Hostile members that work together, by two plans. Both need one of them to be the proposer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fedsm.simulator.services import body_of
from states.messages import Precommit, Prevote, Proposal

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.hostile import Voice
    from fedsm.simulator.member import Member
    from states.memory import LockTaken
    from states.round import Round


class Conspiracy:
    """The voices of all hostile members."""

    def __init__(self, cluster: Cluster, voices: list[Voice], draw: random.Random) -> None:
        self.cluster, self.draw = cluster, draw
        self.voices = {voice.index: voice for voice in voices}
        self._done: set[tuple[int, int, str]] = set()

    def attack(self) -> None:
        """Do what there is to do about the round that some honest member is in."""
        honest = [m for m in self.cluster.members if m.alive and m.round.height > 0]
        if honest:
            at = self.draw.choice(honest).round
            self.attack_round(at, self.voices.get(self.cluster.quorum.proposer(at.height, at.round)))

    def attack_round(self, at: Round, proposer: Voice | None) -> None:
        """Attack this round; ``proposer`` is the one of us who is to propose in it."""

    def is_new(self, at: Round, what: str) -> bool:
        """Whether this was not done in this round before; it is now."""
        place = (at.height, at.round, what)
        is_new = place not in self._done
        self._done.add(place)
        return is_new

    def honest(self) -> list[Member]:
        """The others, in any order."""
        members = [m for m in self.cluster.members if m.index not in self.voices]
        return self.draw.sample(members, len(members))

    def vote(self, kind: type[Prevote | Precommit], at: Round, block_hash: str, receivers: list[Member]) -> None:
        """All of us vote for a block, as far as these can see."""
        for voice in self.voices.values():
            voice.send(kind(at.height, at.round, block_hash), receivers)


class Split(Conspiracy):
    """The attack by which 2Q - N have two blocks decided at one height.

    The proposer gives one block to one side of the honest members and another block to the others, and all vote for
    each side's block on that side. With fewer than 2Q - N only one side is large enough, and the other one must
    not decide anything else.
    """

    def attack_round(self, at: Round, proposer: Voice | None) -> None:
        """Split the honest ones into as few as suffice with us, and the others."""
        if proposer is None or not self.is_new(at, "split"):
            return
        honest = self.honest()
        enough = max(0, self.cluster.quorum.votes - len(self.voices))
        for side in (honest[:enough], honest[enough:]):
            block_hash = self.cluster.new_hash(at.height, proposer.index)
            proposer.send(Proposal(at.height, at.round, block_hash, body_of(block_hash)), side)
            self.vote(Prevote, at, block_hash, side)
            self.vote(Precommit, at, block_hash, side)


class Locks(Conspiracy):
    """Has honest members lock on different blocks, and then puts the older lock's block to the vote again.

    One member alone gets to see Q prevotes for a block of ours; the others lock on the next honest proposal, for
    which we prevote and do not precommit; then the first block comes again, with its real proof.
    """

    def attack_round(self, at: Round, proposer: Voice | None) -> None:
        """The next move, whoever proposes."""
        if proposer is None:
            self._have_others_lock(at)
            return
        oldest = min(self._locks(at).values(), key=lambda lock: lock.proof.round, default=None)
        if oldest is None:
            self._have_one_lock(at, proposer)
        elif oldest.proof.round < at.round and self.is_new(at, "again"):
            again = Proposal(at.height, at.round, oldest.block_hash, oldest.block, oldest.proof)
            proposer.send(again)
            self.vote(Prevote, at, oldest.block_hash, self.honest())

    def _locks(self, at: Round) -> dict[int, LockTaken]:
        """The locks of honest members at this height."""
        locks = {m.index: m.round.agreement.lock for m in self.honest() if m.alive and m.round.height == at.height}
        return {index: lock for index, lock in locks.items() if lock is not None}

    def _have_one_lock(self, at: Round, proposer: Voice) -> None:
        # Not before the round: members relay what they know, and then all would know of the votes for one.
        if at.agreement.state == "AwaitProposal" and self.is_new(at, "first"):
            honest, enough = self.honest(), max(1, self.cluster.quorum.votes - len(self.voices))
            # Those that get no proposal would have it from the others at once.
            for side in (honest[enough:], honest[:enough]):
                block_hash = self.cluster.new_hash(at.height, proposer.index)
                proposer.send(Proposal(at.height, at.round, block_hash, body_of(block_hash)), side)
            self.vote(Prevote, at, block_hash, honest[:1])

    def _have_others_lock(self, at: Round) -> None:
        proposal = at.agreement.ballots.proposals.get(at.round)
        locked = self._locks(at)
        if proposal is not None and locked and self.is_new(at, "others"):
            self.vote(Prevote, at, proposal.block_hash, [m for m in self.honest() if m.index not in locked])
