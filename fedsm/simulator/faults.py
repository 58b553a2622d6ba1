"""The kinds of faults that a run may have: each strikes now and then, and is over when it is told to heal.

Each draws from its own source, so that a run with fewer kinds has the same faults of those that are left.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from fedsm.simulator.cluster import Cluster
    from fedsm.simulator.member import Member

# How far wall clocks may be off all the time, also when all else is well.
MAX_SKEW_MS = 400


class Fault:
    """One kind. ``name`` is what --faults calls it; ``strikes`` counts how often it struck."""

    name: ClassVar[str]

    def __init__(self, cluster: Cluster, draw: random.Random) -> None:
        self.cluster, self.draw = cluster, draw
        self.members = [member for member in cluster.members if member.index not in cluster.watch.liars]
        self.strikes = 0
        self.is_over = False
        self.pause_ms = draw.choice((800, 2_500, 8_000))

    @classmethod
    def can_strike(cls, cluster: Cluster) -> bool:  # noqa: ARG003 - some kinds ask
        """Whether this kind makes sense in a run."""
        return True

    def begin(self) -> None:
        """The faults begin."""
        self._later(self.pause_ms, self._strike_again)

    def strike(self) -> None:
        """One fault."""

    def heal(self) -> None:
        """Everything is as it should be again, and stays so."""
        self.is_over = True

    def any(self) -> Member:
        """Some member that runs our machines."""
        return self.draw.choice(self.members)

    def for_a_while(self, mean_ms: int, end: Callable[[], object]) -> None:
        """Have ``end`` called some time later, unless all is healed before."""
        self._later(mean_ms, end)

    def _strike_again(self) -> None:
        self.strikes += 1
        self.strike()
        self._later(self.pause_ms, self._strike_again)

    def _later(self, mean_ms: int, action: Callable[[], object]) -> None:
        delay_ms = 1 + int(self.draw.expovariate(1 / mean_ms))
        self.cluster.at(delay_ms, lambda: None if self.is_over else action())


# --- members


class Crash(Fault):
    """A member's process ends between two effects, and starts again later."""

    name = "crash"
    down_ms = 1_500

    def strike(self) -> None:
        """Soon, in the middle of whatever list of effects comes then; or at once."""
        member = self.any()
        if self.draw.random() < 0.3:
            member.crash()
        else:
            member.crash_after = self.draw.randrange(6)
        self.for_a_while(self.down_ms, lambda: self.revive(member))

    def revive(self, member: Member) -> None:
        """Start the process again if it has ended."""
        if not member.alive:
            self.cluster.restart(member.index)

    def heal(self) -> None:
        """All are up."""
        super().heal()
        for member in self.members:
            member.crash_after = None
            self.revive(member)


class Power(Crash):
    """Power is cut just before or just after something becomes durable; before, what was being written is lost."""

    name = "power"

    def strike(self) -> None:
        """At one of the next points where a member writes; now and then all go down at once."""
        if self.draw.random() < 0.1:
            for member in self.members:
                member.crash()
                self.for_a_while(self.down_ms, lambda member=member: self.revive(member))  # type: ignore[misc]
            return
        member = self.any()
        member.store.cut_after = self.draw.randrange(6)
        self.for_a_while(self.down_ms, lambda: self.revive(member))

    def heal(self) -> None:
        """No cut is to come."""
        super().heal()
        for member in self.members:
            member.store.cut_after = None


class SlowDisk(Fault):
    """Writing takes its time, and the member does nothing else meanwhile."""

    name = "slow-disk"

    def strike(self) -> None:
        """One member, for a while."""
        member = self.any()
        member.disk_ms = self.draw.choice((3, 20, 150, 1_000))
        self.for_a_while(4_000, lambda: self._free(member))

    def _free(self, member: Member) -> None:
        member.disk_ms = 0

    def heal(self) -> None:
        """All are fast."""
        super().heal()
        for member in self.members:
            self._free(member)


class FullDisk(Fault):
    """Nothing can be written."""

    name = "full-disk"

    def strike(self) -> None:
        """One member, for a while."""
        member = self.any()
        member.disk_full = True
        self.for_a_while(2_000, lambda: self._free(member))

    def _free(self, member: Member) -> None:
        member.disk_full = False

    def heal(self) -> None:
        """All have room."""
        super().heal()
        for member in self.members:
            self._free(member)


class Clock(Fault):
    """Wall clocks are off by some, and jump."""

    name = "clock"

    def begin(self) -> None:
        """Each clock is off by something."""
        for member in self.members:
            member.offset_ms = self._skew()
        super().begin()

    def strike(self) -> None:
        """One clock is set to another time, sometimes far off."""
        member = self.any()
        member.offset_ms = self.draw.choice((self._skew(), self._skew(), -3_600_000, -5_000, 5_000, 3_600_000))

    def _skew(self) -> int:
        return self.draw.randint(-MAX_SKEW_MS, MAX_SKEW_MS)

    def heal(self) -> None:
        """Clocks stay off by some, but not far."""
        super().heal()
        for member in self.members:
            member.offset_ms = max(-MAX_SKEW_MS, min(MAX_SKEW_MS, member.offset_ms))


# --- nodes and signers


class Node(Fault):
    """A member's node is slow, or restarts: it does not answer for a while, and may have lost its last block."""

    name = "node"

    def strike(self) -> None:
        """One node, for a while."""
        member = self.any()
        if self.draw.random() < 0.3:
            member.node_ms = self.draw.choice((10, 100, 1_000))
        else:
            member.node_down = True
        self.for_a_while(2_000, lambda: self._up(member))

    def _up(self, member: Member) -> None:
        member.node_ms = 0
        if not member.node_down:
            return
        member.node_down = False
        if self.draw.random() < 0.3:
            self.cluster.lose_block(member)

    def heal(self) -> None:
        """All answer."""
        super().heal()
        for member in self.members:
            member.node_down, member.node_ms = False, 0


class StaleNode(Fault):
    """A member's node hears of no blocks of others."""

    name = "stale-node"

    def strike(self) -> None:
        """One node, for a while."""
        member = self.any()
        member.node_stale = True
        self.for_a_while(5_000, lambda: self._hear(member))

    def _hear(self, member: Member) -> None:
        member.node_stale = False

    def heal(self) -> None:
        """All hear."""
        super().heal()
        for member in self.members:
            self._hear(member)


class Refusal(Fault):
    """A member's node dislikes a block that is under discussion, or any that is handed to it."""

    name = "refusal"

    def strike(self) -> None:
        """One node; not several dislike a block, for Q of them would be right."""
        member = self.any()
        if self.draw.random() < 0.3:
            member.refuses_submission = True
            self.for_a_while(1_500, lambda: self._accept(member))
            return
        proposals = member.round.agreement.ballots.proposals
        if proposals and not any(m.rejects for m in self.members):
            member.rejects.add(self.draw.choice(list(proposals.values())).block_hash)
            self.for_a_while(4_000, lambda: self._accept(member))

    def _accept(self, member: Member) -> None:
        member.refuses_submission = False
        member.rejects.clear()

    def heal(self) -> None:
        """All accept what is valid."""
        super().heal()
        for member in self.members:
            self._accept(member)


class Signer(Fault):
    """A member's signer is away, slow, or gives something that is no signature."""

    name = "signer"

    def strike(self) -> None:
        """One signer, for a while."""
        member = self.any()
        match self.draw.randrange(3):
            case 0:
                member.signer_down = True
            case 1:
                member.store.garbles = True
            case _:
                member.signer_ms = self.draw.choice((50, 400, 3_000))
        self.for_a_while(3_000, lambda: self._work(member))

    def _work(self, member: Member) -> None:
        member.signer_down = member.store.garbles = False
        member.signer_ms = 0

    def heal(self) -> None:
        """All sign."""
        super().heal()
        for member in self.members:
            self._work(member)
