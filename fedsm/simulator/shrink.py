"""Makes a failing run smaller: fewer kinds of faults, fewer rounds, the same violation."""

from __future__ import annotations

import time
from dataclasses import replace

from fedsm.simulator.plan import HOSTILE, Plan
from fedsm.simulator.run import Run
from fedsm.simulator.violation import Violation

LIMIT_S = 60.0


def shrink(plan: Plan, violation: Violation, *, limit_s: float = LIMIT_S) -> tuple[Plan, Violation]:
    """The smallest plan found in ``limit_s`` that ends in a violation of the same code, and that violation."""
    end = time.monotonic() + limit_s
    for smaller in _smaller(plan):
        if time.monotonic() > end:
            break
        candidate = replace(plan, faults=smaller.faults & plan.faults, hostile=smaller.hostile)
        found = failure_of(candidate)
        if found is not None and found[1].code == violation.code:
            plan, violation = found
    return plan, violation


def failure_of(plan: Plan) -> tuple[Plan, Violation] | None:
    """The violation a plan ends in, and the plan without what did not come to pass; None if all holds."""
    run = Run(plan)
    try:
        run.play()
    except Violation as violation:
        return replace(plan, rounds=run.rounds_needed, faults=run.occurring), violation
    return None


def _smaller(plan: Plan) -> list[Plan]:
    """Each without one kind of fault."""
    kinds = sorted(plan.faults - {HOSTILE}) + sorted(plan.faults & {HOSTILE})
    return [replace(plan, faults=frozenset(set(plan.faults) - {kind})) for kind in kinds]
