"""Visits every state of small federations and prints how many there are: ``make model``.

    python -m tests.model [NAME...]

Without a name all cases of CASES take their turn. The status is 1 when a violation is found, and the shortest way
to it is printed.
"""

from __future__ import annotations

import resource
import sys
import time

import click

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.explorer import Explorer, Tour
from fedsm.simulator.violation import Violation
from states.quorum import Quorum

TWO_OF_THREE, THREE_OF_FOUR = Quorum(3, 2, 2), Quorum(4, 3, 3)
# With Q = N there are far fewer states: more rounds, heights and crashes can be gone through.
ALL_OF_THREE, ALL_OF_FOUR = Quorum(3, 2, 3), Quorum(4, 3, 4)

CASES = (
    Case("three", TWO_OF_THREE, rounds=(1,), crashes=1),
    Case("three-two-rounds", TWO_OF_THREE, rounds=(2,)),
    Case("three-two-heights", TWO_OF_THREE, rounds=(1, 1)),
    Case("three-with-a-liar", ALL_OF_THREE, rounds=(1,), crashes=1, liars=frozenset({1})),
    Case("all-three-in-three-rounds", ALL_OF_THREE, rounds=(3,)),
    Case("all-three-in-two-rounds", ALL_OF_THREE, rounds=(2,), crashes=1),
    Case("all-three-at-two-heights", ALL_OF_THREE, rounds=(1, 1), crashes=1),
    Case("four", THREE_OF_FOUR, rounds=(1,)),
    Case("all-four", ALL_OF_FOUR, rounds=(1,), crashes=1),
    Case("all-four-in-two-rounds", ALL_OF_FOUR, rounds=(2,)),
    Case("all-four-at-two-heights", ALL_OF_FOUR, rounds=(1, 1)),
)
# One liar more than 2Q - N - 1: two blocks must be found decided.
BEYOND = Case("beyond", TWO_OF_THREE, rounds=(1,), liars=frozenset({1}))


def main(names: list[str]) -> int:
    """Explore; returns the status."""
    cases = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in cases]
    if unknown:
        sys.exit(f"no such case: {', '.join(unknown)}; there are {', '.join(cases)}")
    began = time.monotonic()
    for case in [cases[name] for name in names] or CASES:
        click.echo(case)
        explorer = Explorer(case)
        try:
            tour = explorer.run(_progress)
        except Violation as violation:
            click.echo(f"\nVIOLATION {violation}")
            click.echo("\n".join(explorer.way_to_violation()))
            return 1
        click.echo(f"\r{tour}; every state visited, no violation")
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    click.echo(f"{time.monotonic() - began:.0f} s in all, {memory_mb} MB at most")
    return 0


def _progress(tour: Tour) -> None:
    if sys.stdout.isatty():
        click.echo(f"\r{tour}, {tour.waiting:,} to be visited ", nl=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
