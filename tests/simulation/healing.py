"""After the faults: exactly as many members as are needed go on, and must."""

from __future__ import annotations

import random

from fedsm.simulator.cluster import Cluster
from tests.simulation.chaos import Chaos

PATIENCE_MS = 240_000
BLOCKS = 3


def check_that_it_goes_on(cluster: Cluster, chaos: Chaos, seed: int, *, down: int) -> None:
    """All faults end, ``down`` members stay away for good, and blocks follow; then nobody's chains differ."""
    draw = random.Random(seed)
    chaos.heal()
    members = [m for m in cluster.members if m.index not in cluster.watch.liars]
    # Who sits out the height for want of memory is as good as down until it closes.
    candidates = sorted(draw.sample(members, len(members)), key=lambda member: not member.round.fresh)
    for member in candidates[:down]:
        member.crash()
    alive = [m for m in members if m.alive]
    goal = max(m.height for m in cluster.members) + BLOCKS
    end = cluster.now_ms + PATIENCE_MS
    while min(m.height for m in alive) < goal:
        assert cluster.now_ms < end, f"seed {seed} stands still: {cluster.describe()}"
        cluster.run_for(200)
        for member in alive:
            cluster.sync(member.index)
    cluster.check_agreement()
