"""The faults of one run: which kinds there are is drawn from the seed, so that each run has its own few."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

from fedsm.simulator import faults, links, reissue_faults
from fedsm.simulator.cluster import Cluster
from states.messages import Message

KINDS: tuple[type[faults.Fault], ...] = (
    links.Loss,
    links.Duplicate,
    links.Reorder,
    links.Delay,
    links.Partition,
    faults.Crash,
    faults.Power,
    faults.SlowDisk,
    faults.FullDisk,
    faults.Clock,
    faults.Node,
    faults.StaleNode,
    faults.Refusal,
    faults.Signer,
    reissue_faults.Supply,
    reissue_faults.Mempool,
)
NAMES = tuple(kind.name for kind in KINDS)
SHARE_OF_RUNS = 0.45  # in which a kind occurs


class Chaos:
    """Any number of members may be down at a time, and of messages lost: safety must not depend on it.

    ``allowed`` names the kinds to draw from.
    """

    def __init__(self, cluster: Cluster, seed: int, allowed: Collection[str] = NAMES) -> None:
        self.kinds: list[faults.Fault] = []
        for kind in KINDS:
            draw = random.Random(f"{kind.name} {seed}")
            if draw.random() < SHARE_OF_RUNS and kind.name in allowed and kind.can_strike(cluster):
                self.kinds.append(kind(cluster, draw))
        found = {type(kind): kind for kind in self.kinds}
        self._loss, self._duplicate = found.get(links.Loss), found.get(links.Duplicate)
        self._lateness = [kind for kind in self.kinds if isinstance(kind, links.Delay | links.Reorder)]
        self._partition = found.get(links.Partition)
        cluster.deliver = self._deliver

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds that were drawn."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def strikes(self) -> Counter[str]:
        """How often each kind struck."""
        return Counter({kind.name: kind.strikes for kind in self.kinds})

    def begin(self) -> None:
        """The faults begin."""
        for kind in self.kinds:
            kind.begin()

    def heal(self) -> None:
        """Every fault ends, and every member is up. Links stay as slow as they are, and clocks a little wrong."""
        for kind in self.kinds:
            kind.heal()

    def _deliver(self, sender: int, receiver: int, _message: Message) -> tuple[int, ...]:
        partition, loss, duplicate = self._partition, self._loss, self._duplicate
        if isinstance(partition, links.Partition) and (sender, receiver) in partition.cut:
            return ()
        if isinstance(loss, links.Loss) and loss.loses():
            return ()
        if isinstance(duplicate, links.Duplicate) and duplicate.doubles():
            return (self._late_ms(), self._late_ms())
        return (self._late_ms(),)

    def _late_ms(self) -> int:
        delay_ms = 1
        for kind in self._lateness:
            delay_ms += kind.late_ms()
        return delay_ms
