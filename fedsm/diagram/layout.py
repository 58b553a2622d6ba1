"""Layered layout of a directed graph (Sugiyama, Tagawa and Toda 1981): where its nodes stand and its lines run.

Every line passes each layer in a gap of its own, and labels are nodes like any other, so nothing that has a size
can lie on anything else, whatever the table says. Deterministic: the same graph gives the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fedsm.diagram.crossings import ordered
from fedsm.diagram.placing import centres, straighten

NODE_GAP = 28.0
LINE_GAP = 14.0
LAYER_GAP = 46.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    """A box or label of this size, in pixels. ``place`` is where it would stand if all arrows led onwards."""

    width: float
    height: float
    place: float


@dataclass(frozen=True)
class Layout:
    """Centres of the nodes; and for each line the points it runs through, from its tail to its head."""

    centres: dict[str, Point]
    lines: dict[tuple[str, str], list[Point]]
    width: float
    height: float


def arrange(nodes: Mapping[str, Node], lines: Sequence[tuple[str, str]]) -> Layout:
    """Lay out a graph. ``lines`` are (tail, head); one that leads to an earlier ``place`` is drawn upwards."""
    downward = [(a, b) if nodes[a].place <= nodes[b].place else (b, a) for a, b in lines]
    layer = _layers(nodes, downward)
    graph = _Layered(nodes, downward, layer)
    return graph.layout(list(lines))


def _layers(nodes: Mapping[str, Node], downward: list[tuple[str, str]]) -> dict[str, int]:
    """The layer of each node: below all it follows, and as near as possible to what it is joined to."""
    above: dict[str, list[str]] = {name: [] for name in nodes}
    below: dict[str, list[str]] = {name: [] for name in nodes}
    for upper, lower in downward:
        above[lower].append(upper)
        below[upper].append(lower)
    layer: dict[str, int] = {}
    by_place = sorted(nodes, key=lambda name: nodes[name].place)
    for name in by_place:
        layer[name] = max((layer[upper] + 1 for upper in above[name]), default=0)
    for _ in range(len(nodes)):
        for name in reversed(by_place):
            if below[name] and len(below[name]) >= len(above[name]):
                layer[name] = min(layer[lower] for lower in below[name]) - 1
    return layer


class _Layered:
    """The graph with a stand-in for each line on each layer that it passes."""

    def __init__(self, nodes: Mapping[str, Node], downward: list[tuple[str, str]], layer: dict[str, int]) -> None:
        self.nodes = dict(nodes)
        self.layers: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
        self.joints: list[tuple[str, str]] = []
        self.chains: dict[tuple[str, str], list[str]] = {}
        for name in sorted(nodes, key=lambda name: nodes[name].place):
            self.layers[layer[name]].append(name)
        for upper, lower in downward:
            chain = [upper]
            for passed in range(layer[upper] + 1, layer[lower]):
                stand_in = f"{upper}>{lower}@{passed}"
                self.nodes[stand_in] = Node(0.0, 0.0, (nodes[upper].place + nodes[lower].place) / 2)
                self.layers[passed].append(stand_in)
                chain.append(stand_in)
            chain.append(lower)
            self.chains[upper, lower] = chain
            self.joints += pairwise(chain)
        self.is_stand_in = set(self.nodes) - set(nodes)

    def layout(self, lines: list[tuple[str, str]]) -> Layout:
        layers = ordered(self.layers, self.joints)
        self.layer_of = {name: index for index, names in enumerate(layers) for name in names}
        self.spans = self._stack(layers)
        x = centres(layers, self.joints, self._apart, self._weight)
        straighten(layers, [chain[1:-1] for chain in self.chains.values()], x, self._apart)
        left = min(x[name] - self.nodes[name].width / 2 for name in self.nodes)
        x = {name: at - left for name, at in x.items()}
        ports = self._ports(x)
        runs = {}
        for line in lines:
            downward = line in self.chains
            run = self._run(self.chains[line if downward else line[::-1]], x, ports)
            runs[line] = run if downward else run[::-1]
        return Layout(
            {name: (x[name], self._middle(name)) for name in self.nodes if name not in self.is_stand_in},
            runs,
            max(x[name] + self.nodes[name].width / 2 for name in self.nodes),
            self.spans[-1][1],
        )

    def _apart(self, left: str, right: str) -> float:
        """The least distance between the centres of two neighbours."""
        lines = {left, right} & self.is_stand_in
        gap = LINE_GAP if len(lines) == 2 else NODE_GAP
        return (self.nodes[left].width + self.nodes[right].width) / 2 + gap

    def _weight(self, upper: str, lower: str) -> float:
        """How much it matters that this joint is upright: long lines first."""
        return (1.0, 4.0, 12.0)[len({upper, lower} & self.is_stand_in)]

    def _stack(self, layers: list[list[str]]) -> list[Point]:
        """The upper and lower end of each layer."""
        spans, y = [], 0.0
        for names in layers:
            height = max((self.nodes[name].height for name in names), default=0.0)
            spans.append((y, y + height))
            y += height + LAYER_GAP
        return spans

    def _ports(self, x: dict[str, float]) -> dict[tuple[str, str], float]:
        """Where on the border of its first node each joint begins: side by side, in the order of the others."""
        sides: dict[tuple[str, bool], list[str]] = {}
        for upper, lower in self.joints:
            sides.setdefault((upper, True), []).append(lower)
            sides.setdefault((lower, False), []).append(upper)
        ports = {}
        for (name, _), others in sides.items():
            others.sort(key=lambda other: x[other])
            step = min(40.0, self.nodes[name].width * 0.8 / len(others))
            for index, other in enumerate(others):
                ports[name, other] = x[name] + (index - (len(others) - 1) / 2) * step
        return ports

    def _run(self, chain: list[str], x: dict[str, float], ports: dict[tuple[str, str], float]) -> list[Point]:
        """From the lower border of the chain's first node to the upper border of its last.

        Bends lie in the gaps between layers only: beside a low node there may stand a high one.
        """
        first, last = chain[0], chain[-1]
        start, end = ports[first, chain[1]], ports[last, chain[-2]]
        points = [(start, self._middle(first) + self.nodes[first].height / 2), (start, self._span(first)[1])]
        for name in chain[1:-1]:
            top, bottom = self._span(name)
            points += [(x[name], top), (x[name], bottom)]
        return [*points, (end, self._span(last)[0]), (end, self._middle(last) - self.nodes[last].height / 2)]

    def _span(self, name: str) -> Point:
        """The upper and lower end of a node's layer."""
        return self.spans[self.layer_of[name]]

    def _middle(self, name: str) -> float:
        return sum(self._span(name)) / 2
