"""The kinds of faults that a run has only when assets are reissued in it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

from fedsm.simulator.faults import Fault

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.reissue import ReissueCluster


class ReissueFault(Fault):
    """A fault of what nodes know of assets."""

    @classmethod
    def can_strike(cls, cluster: Cluster) -> bool:
        """Only where there are assets."""
        return cluster.reissues

    @property
    def assets(self) -> ReissueCluster:
        """The cluster, which is one that reissues."""
        return cast("ReissueCluster", self.cluster)


class Supply(ReissueFault):
    """A member's node tells other supplies than there are, as one does that has lost a part of its history."""

    name = "supply"

    @classmethod
    def can_strike(cls, cluster: Cluster) -> bool:
        """With M = 1 the one whose node is wrong would reissue by it, and be right to."""
        return super().can_strike(cluster) and cluster.quorum.threshold - len(cluster.watch.liars) > 1

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self._victim = self.any()

    def strike(self) -> None:
        """Always the same node: M of them, were it in turn, would reissue by it."""
        self.assets.misinform(self._victim.index)
        self.for_a_while(3_000, self.assets.misinformed.clear)

    def heal(self) -> None:
        """All tell what is."""
        super().heal()
        self.assets.misinformed.clear()


class Mempool(ReissueFault):
    """A node forgets its transactions, or its blocks leave them out for a while."""

    name = "mempool"

    def strike(self) -> None:
        """One node."""
        member = self.any()
        if self.draw.random() < 0.5:
            self.assets.forget(member.index)
        else:
            self.assets.hides.add(member.index)
            self.for_a_while(4_000, lambda: self.assets.hides.discard(member.index))

    def heal(self) -> None:
        """Blocks take what there is."""
        super().heal()
        self.assets.hides.clear()
