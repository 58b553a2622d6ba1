"""The order of nodes within their layers, for few crossings of lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

SWEEPS = 24

Joints = Sequence[tuple[str, str]]


def ordered(layers: list[list[str]], joints: Joints) -> list[list[str]]:
    """The layers with their nodes in a better order; ``joints`` are (upper, lower) in neighbouring layers."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for upper, lower in joints:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    best, fewest = layers, crossings(layers, joints)
    current = [list(names) for names in layers]
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        neighbours = above if downward else below
        for index in range(len(current)) if downward else reversed(range(len(current))):
            place = {name: at for names in current for at, name in enumerate(names)}
            current[index].sort(key=_barycentre(neighbours, place))
        _swap_neighbours(current, joints)
        count = crossings(current, joints)
        if count < fewest:
            best, fewest = [list(names) for names in current], count
    return best


def crossings(layers: list[list[str]], joints: Joints) -> int:
    """How many pairs of joints cross each other."""
    place = {name: at for names in layers for at, name in enumerate(names)}
    layer = {name: index for index, names in enumerate(layers) for name in names}
    between: dict[int, list[tuple[int, int]]] = {}
    for upper, lower in joints:
        between.setdefault(layer[upper], []).append((place[upper], place[lower]))
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for pairs in between.values() for a, b in combinations(pairs, 2))


def _barycentre(neighbours: dict[str, list[str]], place: dict[str, int]) -> Callable[[str], float]:
    """Where a node's neighbours stand on average; one without any stays where it is."""

    def mean(name: str) -> float:
        others = neighbours.get(name)
        return sum(place[other] for other in others) / len(others) if others else place[name]

    return mean


def _swap_neighbours(layers: list[list[str]], joints: Joints) -> None:
    """Exchange two that stand side by side wherever that saves a crossing."""
    for names in layers:
        for left, right in pairwise(range(len(names))):
            before = crossings(layers, joints)
            names[left], names[right] = names[right], names[left]
            if crossings(layers, joints) >= before:
                names[left], names[right] = names[right], names[left]
