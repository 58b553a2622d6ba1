"""One run: a time of faults, then everything heals, and the chain must go on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fedsm.pace import timeouts_for
from fedsm.simulator.casting import cluster_of, liar_of
from fedsm.simulator.chaos import Chaos
from fedsm.simulator.conspiracy import Locks, Split
from fedsm.simulator.disk import Disk, Store
from fedsm.simulator.member import Member
from fedsm.simulator.plan import HOSTILE, Plan, tolerated
from fedsm.simulator.reissue import ReissueCluster
from fedsm.simulator.violation import Violation
from transports.opener import REPEAT_MS

LEAST_ROUNDS, MOST_ROUNDS = 10, 60  # of faults, in one run
SLICE_MS = 500
# A time of faults in which no round can be held ends all the same.
PATIENCE_MS = 20_000
GOSSIP_MS = 700
# After the healing, so many blocks must follow within so many rounds and some time.
BLOCKS = 3
HEALING_ROUNDS, HEALING_ROUNDS_PER_MEMBER = 10, 2
HEALING_MS = 600_000


@dataclass
class Outcome:
    """What a run was like. ``healing_rounds`` are those that the last blocks took.

    ``reissuances`` in the chain; None when no assets were to be reissued.
    """

    rounds: int = 0
    blocks: int = 0
    healing_rounds: int = 0
    reissuances: int | None = None
    virtual_ms: int = 0
    strikes: Counter[str] = field(default_factory=Counter)


class Run:
    """Carries out a plan. ``play`` raises Violation; ``outcome`` tells how far it came."""

    def __init__(self, plan: Plan, stores: Callable[[int], Store] = Disk) -> None:
        self.plan = plan
        self._draw = random.Random(f"run {plan.seed}")
        draw, quorum = self._draw, plan.quorum
        self._most_rounds = min(plan.rounds, draw.randint(LEAST_ROUNDS, MOST_ROUNDS))
        interval_ms = draw.choice((400, 1000))
        self._gossips = draw.random() < 0.7
        liars = self._liars()
        # On a chain with blocks new guards sit out a height: with liars these would be more faults than tolerated.
        history = draw.choice((0, 0, 0, 3)) if not liars else 0
        self.cluster = cluster_of(
            plan,
            interval_ms,
            seed=plan.seed,
            history=history,
            stores=stores,
            liars=liars,
            timeouts=timeouts_for(interval_ms),
            echo_ms=REPEAT_MS,
        )
        self.chaos = Chaos(self.cluster, plan.seed, plan.faults)
        self._voices = [liar_of(self.cluster, n, random.Random(f"liar {n} {plan.seed}")) for n in sorted(liars)]
        self._lies_at_random = draw.random() < 0.5 and bool(liars)
        plot = draw.choice((Split, Locks))
        if len(liars) > tolerated(quorum):  # the attack is what is to be seen then, and lies get in its way
            self._lies_at_random, plot = False, Split
        self._conspiracy = plot(self.cluster, list(self._voices), random.Random(f"conspiracy {plan.seed}"))
        self._conspires = bool(liars) and (not self._lies_at_random or draw.random() < 0.3)
        self._lie_pause_ms = draw.choice((50, 200, 800))
        self.outcome = Outcome()
        self.rounds_of_faults = 0

    def _liars(self) -> frozenset[int]:
        """Who is hostile."""
        draw, quorum = random.Random(f"hostile {self.plan.seed}"), self.plan.quorum
        drawn = draw.randint(0, tolerated(quorum)) if HOSTILE in self.plan.faults else 0
        number = drawn if self.plan.hostile is None else self.plan.hostile
        return frozenset(draw.sample(range(quorum.members), number))

    @property
    def occurring(self) -> frozenset[str]:
        """The kinds of faults that this run has, of those that it might have had."""
        drawn = self._voices and self.plan.hostile is None
        return frozenset(self.chaos.names) | ({HOSTILE} if drawn else frozenset())

    @property
    def rounds_needed(self) -> int:
        """The number of rounds with which a plan comes as far as this run has come."""
        return min(self._most_rounds, self.rounds_of_faults + 1)

    def play(self) -> Outcome:
        """Faults, healing, and the checks of the whole. Raises Violation."""
        try:
            self._have_faults()
            if len(self._voices) <= tolerated(self.plan.quorum):  # more of them may stop everything
                self._heal()
            self.cluster.check_agreement()
        finally:
            self._take_stock()
        return self.outcome

    def _take_stock(self) -> None:
        cluster, outcome = self.cluster, self.outcome
        outcome.rounds = cluster.watch.rounds_begun
        outcome.blocks = len(cluster.watch.decided)
        outcome.virtual_ms = cluster.elapsed_ms
        outcome.strikes = self.chaos.strikes
        if self._voices:
            outcome.strikes[HOSTILE] = sum(voice.said for voice in self._voices)
        if isinstance(cluster, ReissueCluster):
            outcome.reissuances = cluster.reissuances

    # --- faults

    def _have_faults(self) -> None:
        cluster, watch = self.cluster, self.cluster.watch
        if self._gossips:
            self._gossip_for_ever()
        if self._lies_at_random:
            self._lie_for_ever()
        if self._conspires:
            self._conspire_for_ever()
        self.chaos.begin()
        cluster.start()
        since_ms = cluster.now_ms
        while self.rounds_of_faults < self._most_rounds and cluster.now_ms - since_ms < PATIENCE_MS:
            cluster.run_for(SLICE_MS)
            if watch.rounds_begun > self.rounds_of_faults:
                self.rounds_of_faults, since_ms = watch.rounds_begun, cluster.now_ms

    def _gossip_for_ever(self) -> None:
        self.cluster.gossip()
        self.cluster.at(GOSSIP_MS, self._gossip_for_ever)

    def _lie_for_ever(self) -> None:
        self._draw.choice(self._voices).lie()
        self.cluster.at(self._draw.randint(5, 2 * self._lie_pause_ms), self._lie_for_ever)

    def _conspire_for_ever(self) -> None:
        self._conspiracy.attack()
        self.cluster.at(self._draw.randint(1, 10), self._conspire_for_ever)

    # --- healing

    def _heal(self) -> None:
        """All faults end, as many members as are tolerated go down for good, and blocks must follow."""
        cluster, watch = self.cluster, self.cluster.watch
        self.chaos.heal()
        if not self._gossips:
            self._gossip_for_ever()
        up = self._survivors()
        tip = max(member.height for member in cluster.members)
        before, end_ms = watch.rounds_above(tip), cluster.now_ms + HEALING_MS
        most_rounds = HEALING_ROUNDS + HEALING_ROUNDS_PER_MEMBER * self.plan.quorum.members
        while min(member.height for member in up) < tip + BLOCKS:
            cluster.run_for(SLICE_MS)
            self.outcome.healing_rounds = len(watch.rounds_above(tip) - before)
            if self.outcome.healing_rounds > most_rounds or cluster.now_ms > end_ms:
                raise Violation(
                    "standstill",
                    f"{BLOCKS} blocks did not follow within {self.outcome.healing_rounds} rounds and"
                    f" {cluster.now_ms - end_ms + HEALING_MS} ms after the faults: {cluster.describe()}",
                )
        if isinstance(cluster, ReissueCluster):
            self._await_reissuances(cluster, up)

    def _await_reissuances(self, cluster: ReissueCluster, up: list[Member]) -> None:
        """What falls due from now on is reissued again, before it falls due another time."""
        due = cluster.next_due_height
        end_ms = cluster.now_ms + HEALING_MS
        while lacking := cluster.lacking(up, due):
            if min(member.height for member in up) >= due + cluster.inflation.period or cluster.now_ms > end_ms:
                raise Violation("reissuance-missed", f"due at {due}, after the faults: {lacking}")
            cluster.run_for(SLICE_MS)

    def _survivors(self) -> list[Member]:
        """Crash as many honest members as are tolerated, or none; the others must do without them."""
        cluster, liars = self.cluster, self.cluster.watch.liars
        honest = [member for member in cluster.members if member.index not in liars]
        down = max(0, self.plan.quorum.crash_tolerance - len(liars)) if self._draw.random() < 0.7 else 0
        # Who sits out the height for want of memory is as good as down until it closes.
        fresh = [member for member in honest if member.round.fresh]
        if len(fresh) > down:
            return honest
        self._draw.shuffle(honest)
        honest.sort(key=lambda member: not member.round.fresh)
        for member in honest[:down]:
            member.crash()
        return honest[down:]
