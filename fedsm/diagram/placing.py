"""Horizontal places for ordered layers: each node near those it is joined to, and none on its neighbour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

ROUNDS = 600


def centres(
    layers: list[list[str]],
    joints: Sequence[tuple[str, str]],
    apart: Callable[[str, str], float],
    weight: Callable[[str, str], float],
) -> dict[str, float]:
    """The x of each node's centre. ``apart``: the least distance of two neighbours in a layer."""
    joined: dict[str, list[tuple[str, float]]] = {name: [] for names in layers for name in names}
    for upper, lower in joints:
        joined[upper].append((lower, weight(upper, lower)))
        joined[lower].append((upper, weight(upper, lower)))
    x: dict[str, float] = {}
    for names in layers:
        x.update(_spread(names, dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0), apart))
    for turn in range(ROUNDS):
        for names in layers if turn % 2 == 0 else reversed(layers):
            wanted, pull = {}, {}
            for name in names:
                total = sum(w for _, w in joined[name])
                mean = sum(x[other] * w for other, w in joined[name]) / total if total else x[name]
                wanted[name], pull[name] = mean, total or 0.1
            x.update(_spread(names, wanted, pull, apart))
    return x


def straighten(
    layers: list[list[str]], chains: list[list[str]], x: dict[str, float], apart: Callable[[str, str], float]
) -> None:
    """Put the members of each chain (one a layer) above each other where their neighbours leave room for it."""
    beside = {name: names[max(0, at - 1) : at + 2] for names in layers for at, name in enumerate(names)}
    for chain in sorted(chains, key=len, reverse=True):
        start = 0
        while start < len(chain):
            end = len(chain)
            while (room := _room(chain[start:end], beside, x, apart))[0] > room[1]:
                end -= 1
            at = sum(x[name] for name in chain[start:end]) / (end - start)
            x.update(dict.fromkeys(chain[start:end], min(max(at, room[0]), room[1])))
            start = end


def _room(
    chain: list[str], beside: dict[str, list[str]], x: dict[str, float], apart: Callable[[str, str], float]
) -> tuple[float, float]:
    """The least and the greatest place that all of these could take; the first is greater if there is none."""
    least, greatest = -math.inf, math.inf
    for name in chain:
        if beside[name][0] != name:
            least = max(least, x[beside[name][0]] + apart(beside[name][0], name))
        if beside[name][-1] != name:
            greatest = min(greatest, x[beside[name][-1]] - apart(name, beside[name][-1]))
    return least, max(least, greatest) if len(chain) == 1 else greatest


def _spread(
    names: list[str], wanted: dict[str, float], pull: dict[str, float], apart: Callable[[str, str], float]
) -> dict[str, float]:
    """The places nearest to the wanted ones (least squares) that keep order and distance.

    With the distances taken off this is isotonic regression: neighbours that would overlap share one place.
    """
    offset, offsets = 0.0, []
    for index, name in enumerate(names):
        offset += apart(names[index - 1], name) if index else 0.0
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []  # (place, pull, how many)
    for name, shift in zip(names, offsets, strict=True):
        pools.append((wanted[name] - shift, pull[name], 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (right, right_pull, more), (left, left_pull, many) = pools.pop(), pools.pop()
            total = left_pull + right_pull
            pools.append(((left * left_pull + right * right_pull) / total, total, many + more))
    places = [place for place, _, many in pools for _ in range(many)]
    return {name: place + shift for name, place, shift in zip(names, places, offsets, strict=True)}
