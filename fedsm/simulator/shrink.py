"""Makes a failing run smaller: fewer kinds of faults, fewer rounds, the same violation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from fedsm.simulator.plan import HOSTILE, Plan
from fedsm.simulator.run import Run
from fedsm.simulator.violation import Violation

LIMIT_S = 60.0


def shrink(plan: Plan, violation: Violation, *, limit_s: float = LIMIT_S) -> tuple[Plan, Violation]:
    """The smallest plan found in ``limit_s`` that ends in a violation of the same code, and that violation."""
    end = time.monotonic() + limit_s
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(plan):
            found = failure_of(smaller)
            if found is not None and found[1].code == violation.code:
                plan, violation = found
                is_smaller = True
                break
            if time.monotonic() > end:
                return plan, violation
    return plan, violation


def _smaller(plan: Plan) -> Iterator[Plan]:
    """The plans that have one thing less."""
    if plan.assets != 0:
        yield replace(plan, assets=0)
    for kind in sorted(plan.faults, key=lambda kind: (kind == HOSTILE, kind)):
        yield replace(plan, faults=plan.faults - {kind})


def failure_of(plan: Plan) -> tuple[Plan, Violation] | None:
    """The violation a plan ends in, and the plan without what did not come to pass; None if all holds."""
    run = Run(plan)
    try:
        run.play()
    except Violation as violation:
        return replace(plan, rounds=run.rounds_needed, faults=run.occurring), violation
    return None
