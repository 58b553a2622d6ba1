"""The simulator finds what it is there for: each fault of mutants.py, within so many runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedsm.simulator.shrink import failure_of
from tests.simulation.mutants import MUTANTS, Mutant

RUNS = 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_taken_away_is_missed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.put(monkeypatch)
    for seed in range(1, RUNS + 1):
        failure = failure_of(replace(mutant.plan, seed=seed))
        if failure is not None:
            assert failure[1].code in mutant.codes, f"seed {seed}: {failure[1]}"
            return
    pytest.fail(f"not found in {RUNS} runs")
