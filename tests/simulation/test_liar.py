"""One member lies by fixed seeds: with 2Q - N of 2 and more it can neither split the others nor stop them."""

from __future__ import annotations

import random

import pytest

from fedsm.simulator.bounds import check_bounds
from fedsm.simulator.cluster import Cluster
from tests.simulation.chaos import STEP_MS, Chaos
from tests.simulation.healing import check_that_it_goes_on
from tests.simulation.liar import Liar

FEDERATIONS = [(4, 3, 3), (4, 2, 3), (5, 3, 4), (7, 4, 5)]
LIES_MS = 8_000


@pytest.mark.parametrize("seed", range(40))
def test_one_liar_among_faults(seed: int) -> None:
    draw = random.Random(f"liar {seed}")
    n, m, votes = draw.choice(FEDERATIONS)
    index = draw.randrange(n)
    cluster = Cluster(n, m, votes, seed=seed, interval_ms=draw.choice((400, 1000)), liars=frozenset({index}))
    liar, chaos = Liar(cluster, index, seed), Chaos(cluster, seed)
    if draw.random() < 0.5:
        chaos.faults = []
    cluster.start()
    for _ in range(LIES_MS // STEP_MS):
        chaos.run(STEP_MS)
        if draw.random() < 0.5:
            liar.lie()
    check_that_it_goes_on(cluster, chaos, seed, down=0)


@pytest.mark.parametrize("seed", range(5))
def test_a_liar_that_goes_on_lying_cannot_stop_the_others(seed: int) -> None:
    cluster = Cluster(4, 3, 3, seed=seed, liars=frozenset({seed % 4}))
    liar = Liar(cluster, seed % 4, seed)
    cluster.start()
    honest = [m for m in cluster.members if m.alive]
    end = cluster.now_ms + 240_000
    while min(m.height for m in honest) < 6:
        assert cluster.now_ms < end, cluster.describe()
        liar.lie()
        cluster.run_for(50)
        for member in honest:
            check_bounds(member.round, cluster.quorum)
            cluster.sync(member.index)
    cluster.check_agreement()


def test_evidence_against_a_liar_reaches_somebody_and_nobody_else_is_accused() -> None:
    """The second half is the watch's: it fails the run at any accusation of an honest member."""
    cluster = Cluster(4, 3, 3, liars=frozenset({0}))
    liar = Liar(cluster, 0, 1)
    liar.lies = [liar.vote_two_ways, liar.propose_two_blocks]
    cluster.start()
    for _ in range(100):
        liar.lie()
        cluster.run_for(50)
    accused = {report.member for _, report in cluster.reports("equivocation")}
    assert accused == {0}
    for _, report in cluster.reports("equivocation"):
        assert len(set(report.evidence)) == 2
