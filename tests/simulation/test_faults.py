"""Random faults by fixed seeds: nothing unsafe while they last (fedsm/simulator/watch.py), and no standstill after.

A failing seed gives the same run again: ``fedsm sim`` with the options that Plan.command tells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsm.simulator.plan import Plan, faults_of
from fedsm.simulator.run import Run
from fedsm.simulator.seeds import read_seeds
from states.quorum import Quorum

FEDERATIONS = [
    *((1, 1, 1), (2, 2, 2), (3, 2, 2), (3, 3, 3), (4, 2, 3), (4, 3, 3), (5, 3, 3), (5, 3, 4), (7, 4, 4), (7, 4, 5))
]
ROUNDS = 25
EVER_FAILED = read_seeds(Path(__file__).parent / "seeds.txt")


def plans(seeds: range) -> list[Plan]:
    faults = faults_of("all")
    return [Plan(Quorum(*FEDERATIONS[seed % len(FEDERATIONS)]), seed, ROUNDS, faults) for seed in seeds]


@pytest.mark.parametrize("plan", plans(range(40)), ids=lambda plan: plan.command)
def test_nothing_unsafe_under_faults_and_blocks_after_them(plan: Plan) -> None:
    outcome = Run(plan).play()
    assert outcome.blocks > 0


@pytest.mark.parametrize("plan", EVER_FAILED, ids=lambda plan: plan.command)
def test_no_run_that_ever_failed_fails_again(plan: Plan) -> None:
    Run(plan).play()
