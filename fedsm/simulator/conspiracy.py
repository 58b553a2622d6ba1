"""Hostile members that work together: the attack by which 2Q - N of them have two blocks decided at one height.

When one of them is to propose, it gives one block to one side of the honest members and another block to the
others, and all of them vote for each side's block on that side. With fewer than 2Q - N of them only one side is
large enough, and the other one must not decide anything else.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fedsm.simulator.services import body_of
from states.messages import Precommit, Prevote, Proposal

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.hostile import Voice
    from fedsm.simulator.member import Member


class Conspiracy:
    """The voices of all hostile members."""

    def __init__(self, cluster: Cluster, voices: list[Voice], draw: random.Random) -> None:
        self.cluster, self.draw = cluster, draw
        self._voices = {voice.index: voice for voice in voices}
        self._attacked: set[tuple[int, int]] = set()

    def attack(self) -> None:
        """Attack the round at hand, if one of us is to propose in it and it was not attacked before."""
        honest = [m for m in self.cluster.members if m.alive and m.round.height > 0]
        if not honest:
            return
        at = self.draw.choice(honest).round
        place = (at.height, at.round)
        proposer = self._voices.get(self.cluster.quorum.proposer(*place))
        if proposer is None or place in self._attacked:
            return
        self._attacked.add(place)
        for side in self._sides():
            self._have_decided(at.height, at.round, proposer, side)

    def _sides(self) -> tuple[list[Member], list[Member]]:
        """As few honest members as suffice with us, and the others."""
        honest = [m for m in self.cluster.members if m.index not in self._voices]
        self.draw.shuffle(honest)
        enough = max(0, self.cluster.quorum.votes - len(self._voices))
        return honest[:enough], honest[enough:]

    def _have_decided(self, height: int, round_: int, proposer: Voice, side: list[Member]) -> None:
        block_hash = self.cluster.new_hash(height, proposer.index)
        proposer.send(Proposal(height, round_, block_hash, body_of(block_hash)), side)
        for voice in self._voices.values():
            voice.send(Prevote(height, round_, block_hash), side)
            voice.send(Precommit(height, round_, block_hash), side)
