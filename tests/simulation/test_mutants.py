"""The simulator finds what it is there for: each fault of mutants.py, within so many runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedsm.simulator.run import Run
from fedsm.simulator.violation import Violation
from tests.simulation.mutants import MUTANTS, Mutant

RUNS = 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_taken_away_is_missed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.put(monkeypatch)
    for seed in range(1, RUNS + 1):
        try:
            Run(replace(mutant.plan, seed=seed)).play()
        except Violation as violation:
            assert violation.code in mutant.codes, f"seed {seed}: {violation}"
            return
    pytest.fail(f"not found in {RUNS} runs")
