"""Many runs, one seed after the other, until there were rounds enough, time is up, or something is found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedsm.simulator.plan import Plan
from fedsm.simulator.recording import Recording
from fedsm.simulator.run import Outcome, Run
from fedsm.simulator.shrink import failure_of, shrink
from fedsm.simulator.violation import Violation


@dataclass
class Tally:
    """What all runs so far were like together. ``slowest_healing`` is in rounds."""

    runs: int = 0
    rounds: int = 0
    blocks: int = 0
    virtual_ms: int = 0
    slowest_healing: int = 0
    reissuances: int = 0
    reissue_runs: int = 0
    strikes: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """One more run."""
        self.runs += 1
        self.rounds += outcome.rounds
        self.blocks += outcome.blocks
        self.virtual_ms += outcome.virtual_ms
        self.slowest_healing = max(self.slowest_healing, outcome.healing_rounds)
        self.reissuances += outcome.reissuances or 0
        self.reissue_runs += outcome.reissuances is not None
        self.strikes += outcome.strikes


@dataclass(frozen=True)
class Finding:
    """A violation, the run it came in, and the smallest run that shows it too."""

    plan: Plan
    violation: Violation
    smallest: Plan
    smallest_violation: Violation


class Campaign:
    """Runs ``plan`` with its seed, the next seed, and so on, for ``plan.rounds`` rounds in all, or for a time.

    ``tell`` is called after each run.
    """

    def __init__(
        self, plan: Plan, seconds: float | None = None, tell: Callable[[Tally], None] | None = None
    ) -> None:
        self.plan = plan
        self.tally = Tally()
        self._seconds = seconds
        self._tell = tell
        self.next_seed = plan.seed

    def go(self) -> Finding | None:
        """Run until the end or the first violation."""
        end = None if self._seconds is None else time.monotonic() + self._seconds
        while self._rounds_left() > 0 if end is None else time.monotonic() < end:
            rounds = self.plan.rounds if end is not None else self._rounds_left()
            plan = replace(self.plan, seed=self.next_seed, rounds=rounds)
            self.next_seed += 1
            run = Run(plan)
            try:
                run.play()
            except Violation as violation:
                self.tally.add(run.outcome)
                return self._look_into(plan, violation)
            self.tally.add(run.outcome)
            if self._tell is not None:
                self._tell(self.tally)
        return None

    def _rounds_left(self) -> int:
        return self.plan.rounds - self.tally.rounds

    def _look_into(self, plan: Plan, violation: Violation) -> Finding:
        again = failure_of(plan)
        if again is None:
            raise AssertionError(f"{plan.command} ends in another way than before")
        return Finding(plan, violation, *shrink(*again))


def write_traces(plan: Plan, directory: Path) -> None:
    """Do a run again and write the trace of each honest member to a folder of its own. OSError."""
    run = Run(plan)
    recordings = {m.index: Recording(m.now_ms) for m in run.cluster.members if m.alive}
    for index, recording in recordings.items():
        run.cluster.members[index].trace = recording
    with suppress(Violation):
        run.play()
    for index, recording in recordings.items():
        recording.write(directory / f"member-{index}")
