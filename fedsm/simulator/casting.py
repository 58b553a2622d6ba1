"""The cluster of a run and its liars: whether and how fast assets are reissued in it is drawn from the seed."""

from __future__ import annotations

import random
from typing import Any

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.hostile import Liar
from fedsm.simulator.plan import Plan
from fedsm.simulator.reissue import ReissueCluster
from fedsm.simulator.reissue_lies import ReissueLiar
from states.amounts import Inflation

DRAWN_ASSETS = (0, 0, 0, 1, 2)
LEAST_PERIOD, MOST_PERIOD = 5, 12
SMALL, LARGE = 10**8, 10**15  # supplies in satoshi; the rate makes something of each in every period


def cluster_of(plan: Plan, interval_ms: int, **options: Any) -> Cluster:
    """A cluster by a plan. ``options`` as Cluster has them. It draws from a source of its own."""
    draw, quorum = random.Random(f"assets {plan.seed}"), plan.quorum
    number = draw.choice(DRAWN_ASSETS)
    period = draw.randint(LEAST_PERIOD, MOST_PERIOD)
    rate = draw.choice(("0.5", "20", "100"))
    assets = {f"{draw.getrandbits(256):064x}": draw.randint(SMALL, LARGE) for _ in range(plan.assets or number)}
    size = quorum.members, quorum.threshold, quorum.votes
    if plan.assets == 0 or not assets:
        return Cluster(*size, interval_ms=interval_ms, **options)
    inflation = Inflation(rate, period, 3_600_000)
    return ReissueCluster(*size, assets, inflation, interval_ms=interval_ms, **options)


def liar_of(cluster: Cluster, index: int, draw: random.Random) -> Liar:
    """A hostile member."""
    if isinstance(cluster, ReissueCluster):
        return ReissueLiar(cluster, index, draw)
    return Liar(cluster, index, draw)
