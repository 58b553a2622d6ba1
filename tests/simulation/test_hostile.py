"""Members that lie: those that are tolerated can neither split nor stop the others; one more can split them."""

from __future__ import annotations

import random

import pytest

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.hostile import Liar
from fedsm.simulator.plan import Plan, faults_of, tolerated
from fedsm.simulator.run import Run
from fedsm.simulator.violation import Violation
from states.quorum import Quorum

TOLERANT = [Quorum(4, 3, 3), Quorum(5, 3, 4), Quorum(7, 4, 5), Quorum(7, 5, 5)]
ROUNDS = 20


@pytest.mark.parametrize("seed", range(24))
def test_as_many_liars_as_are_tolerated_among_faults(seed: int) -> None:
    quorum = TOLERANT[seed % len(TOLERANT)]
    faults = faults_of("all" if seed % 2 else "none")
    outcome = Run(Plan(quorum, seed, ROUNDS, faults, tolerated(quorum))).play()
    assert outcome.strikes["hostile"] > 0


@pytest.mark.parametrize("quorum", [Quorum(3, 2, 2), Quorum(5, 3, 3), *TOLERANT], ids=str)
def test_one_liar_more_than_agreement_bears_breaks_it_within_twenty_runs(quorum: Quorum) -> None:
    """So that what the others find is known to be found if it is there."""
    enough = quorum.equivocators_for_two_decisions
    for seed in range(20):
        try:
            Run(Plan(quorum, seed, ROUNDS, faults_of("none"), enough)).play()
        except Violation as violation:
            if violation.code == "two-decisions":
                return
            raise
    pytest.fail("agreement holds")


def test_evidence_against_a_liar_reaches_somebody_and_nobody_else_is_accused() -> None:
    """The second half is the watch's: it fails the run at any accusation of an honest member."""
    cluster = Cluster(4, 3, 3, liars=frozenset({0}))
    liar = Liar(cluster, 0, random.Random(1))
    liar.lies = [liar.vote_two_ways, liar.propose_two_blocks]
    cluster.start()
    for _ in range(100):
        liar.lie()
        cluster.run_for(50)
    accused = {report.member for _, report in cluster.reports("equivocation")}
    assert accused == {0}
    for _, report in cluster.reports("equivocation"):
        assert len(report.evidence) == 2
