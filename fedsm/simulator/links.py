"""What may happen to messages under way: lost, doubled, late, out of order, or cut off by a partition."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedsm.simulator.faults import Fault

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster

Link = tuple[int, int]  # from, to


class LinkFault(Fault):
    """A kind of fault that decides about single messages: there is nothing to strike."""

    def begin(self) -> None:
        """It goes on until it is healed."""


class Loss(LinkFault):
    """Messages get lost."""

    name = "loss"

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self.share = draw.choice((0.01, 0.1, 0.3))

    def loses(self) -> bool:
        """Whether the next message gets lost."""
        is_lost = not self.is_over and self.draw.random() < self.share
        self.strikes += is_lost
        return is_lost


class Duplicate(LinkFault):
    """Messages arrive twice."""

    name = "duplicate"

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self.share = draw.choice((0.05, 0.3))

    def doubles(self) -> bool:
        """Whether the next message arrives twice."""
        is_doubled = not self.is_over and self.draw.random() < self.share
        self.strikes += is_doubled
        return is_doubled


class Delay(LinkFault):
    """All links are slow, before and after the faults end, and each message takes its own time."""

    name = "delay"

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self.most_ms = draw.choice((10, 60, 150))

    def late_ms(self) -> int:
        """How long the next message takes."""
        self.strikes += 1
        return int(self.draw.random() * self.most_ms)


class Reorder(LinkFault):
    """Now and then a message is overtaken by many others."""

    name = "reorder"

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self.share = draw.choice((0.02, 0.15))

    def late_ms(self) -> int:
        """How much later the next message comes than it would."""
        if self.is_over or self.draw.random() >= self.share:
            return 0
        self.strikes += 1
        return self.draw.randint(20, 2_500)


class Partition(Fault):
    """The network falls apart, in one of many ways."""

    name = "partition"

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        super().__init__(cluster, draw)
        self.cut: set[Link] = set()
        self.pause_ms *= 3

    def strike(self) -> None:
        """One way of falling apart, for a while, in place of the one before."""
        everybody = [member.index for member in self.cluster.members]
        self.draw.shuffle(everybody)
        self.cut = set(self.draw.choice(SHAPES)(everybody, self.draw.randint(1, len(everybody))))
        self.for_a_while(5_000, self.cut.clear)

    def heal(self) -> None:
        """All links are there."""
        super().heal()
        self.cut.clear()


def _halves(members: list[int], at: int) -> Iterator[Link]:
    """Nothing passes between two sides."""
    for one in members[:at]:
        for other in members[at:]:
            yield from ((one, other), (other, one))


def _one_way(members: list[int], at: int) -> Iterator[Link]:
    """What one side says does not reach the other."""
    yield from ((one, other) for one in members[:at] for other in members[at:])


def _isolated(members: list[int], _at: int) -> Iterator[Link]:
    """One member is alone."""
    return _halves(members, 1)


def _bridge(members: list[int], at: int) -> Iterator[Link]:
    """Two sides that only one member hears both of."""
    bridge = members[0]
    return (link for link in _halves(members, at) if bridge not in link)


def _ring(members: list[int], _at: int) -> Iterator[Link]:
    """Each hears its two neighbours only."""
    for place, one in enumerate(members):
        near = {one, members[place - 1], members[(place + 1) % len(members)]}
        yield from ((one, other) for other in members if other not in near)


def _link(members: list[int], _at: int) -> Iterator[Link]:
    """One direction of one link."""
    yield members[0], members[-1]


SHAPES = (_halves, _one_way, _isolated, _bridge, _ring, _link)
