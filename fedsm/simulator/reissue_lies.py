"""Hostile members where assets are reissued: false drafts, false signatures, and blocks without reissuances."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

from fedsm.simulator.hostile import Liar
from fedsm.simulator.papers import Paper
from fedsm.simulator.wire import signature_word
from states.messages import ReissueDraft, ReissueSignature

if TYPE_CHECKING:
    from fedsm.simulator.reissue import ReissueCluster


class ReissueLiar(Liar):
    """Lies about reissuances too."""

    def __init__(self, cluster: ReissueCluster, index: int, draw: random.Random) -> None:
        super().__init__(cluster, index, draw)
        self.assets = cluster
        if draw.random() < 0.5:
            cluster.hides.add(index)

    def lie(self) -> None:
        """Half of the lies are about reissuances, from a moment before they fall due."""
        period = self.assets.inflation.period
        honest = [m for m in self.cluster.members if m.alive and m.height + 1 >= period]
        if not honest or self.draw.random() < 0.5:
            super().lie()
            return
        member = self.draw.choice(honest)
        due_height = min(member.height, (member.height + 1) - (member.height + 1) % period)
        asset = self.draw.choice(sorted(self.assets.assets(member).supply))
        right = self.assets.paper(member, due_height, asset)
        self.draw.choice((self.draft, self.draft_two, self.sign_draft, self.sign_garbage, self.flood))(right)

    def false(self, right: Paper) -> Paper:
        """A paper that is wrong in some way."""
        changes = self.draw.choice(
            (
                {"amount": right.amount + 1},
                {"amount": 2 * right.amount + 1},
                {"amount": max(0, right.amount - 1)},
                {"to": "the liar"},
                {"outpoint": f"{right.asset}:1"},
            )
        )
        return msgspec.structs.replace(right, **changes)

    def draft(self, right: Paper) -> None:
        """A false draft."""
        self._put_forward(self.false(right))

    def draft_two(self, right: Paper) -> None:
        """The right one to some, a false one to the others, signed."""
        for half, paper in zip(self.halves(), (right, self.false(right)), strict=True):
            word = signature_word(self.index, paper.id)
            self.send(ReissueDraft(paper.due_height, 0, paper.asset, paper.id, paper.data), half)
            self.send(ReissueSignature(paper.due_height, 0, paper.asset, paper.id, paper.data, (word,)), half)

    def sign_draft(self, right: Paper) -> None:
        """The right draft, or a false one, for some."""
        paper = self.draw.choice((right, self.false(right)))
        word = signature_word(self.index, paper.id)
        message = ReissueSignature(paper.due_height, 0, paper.asset, paper.id, paper.data, (word,))
        self.send(message, self.halves()[0])

    def sign_garbage(self, right: Paper) -> None:
        """What is no signature, perhaps of what is no draft, or of another one by the right one's id."""
        data = self.draw.choice((right.data, self.false(right).data, b"garbage"))
        words = self.draw.choice(((), (b"garbage",), (signature_word(self.index, right.id), b"more")))
        self.send(ReissueSignature(right.due_height, 0, right.asset, right.id, data, words))

    def flood(self, right: Paper) -> None:
        """Drafts for many periods and assets."""
        for number in range(12):
            due_height = max(1, right.due_height + self.draw.choice((-1, 0, 1)) * number)
            asset = self.draw.choice((right.asset, f"{number:064x}"))
            self._put_forward(msgspec.structs.replace(right, asset=asset, due_height=due_height, amount=number))

    def _put_forward(self, paper: Paper) -> None:
        self.send(ReissueDraft(paper.due_height, 0, paper.asset, paper.id, paper.data))
