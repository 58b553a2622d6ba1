"""Random faults by fixed seeds: nothing unsafe while they last (fedsm/simulator/watch.py), and no standstill after.

A failing seed gives the same run again.
"""

from __future__ import annotations

import random

import pytest

from fedsm.simulator.cluster import Cluster
from tests.simulation.chaos import Chaos
from tests.simulation.healing import check_that_it_goes_on

FEDERATIONS = [(1, 1, 1), (2, 2, 2), (3, 2, 2), (3, 3, 3), (4, 2, 3), (4, 3, 3), (5, 3, 3), (5, 3, 4), (7, 4, 4)]
FAULTS_MS = 12_000


@pytest.mark.parametrize("seed", range(80))
def test_crashes_losses_partitions_and_failing_services(seed: int) -> None:
    draw = random.Random(f"federation {seed}")
    n, m, votes = draw.choice(FEDERATIONS)
    cluster = Cluster(n, m, votes, seed=seed, interval_ms=draw.choice((400, 1000)), history=draw.randrange(2))
    cluster.start()
    chaos = Chaos(cluster, seed)
    chaos.run(FAULTS_MS)
    down = cluster.quorum.crash_tolerance if draw.random() < 0.7 else 0
    check_that_it_goes_on(cluster, chaos, seed, down=down)
