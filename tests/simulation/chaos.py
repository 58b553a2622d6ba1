"""Seeded faults for a cluster: each run draws which faults it has and how bad they are, then what happens when."""

from __future__ import annotations

import random
from collections.abc import Callable

from fedsm.simulator.bounds import check_bounds
from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from states.messages import Message

STEP_MS = 40
MAX_OFFSET_MS = 400


class Chaos:
    """Faults of one run. ``strike`` is called again and again; ``heal`` ends them all.

    Any number of members may be down at a time, and of messages lost: the machines must be safe whatever happens,
    and live again once it is over.
    """

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        draw = self.random.random
        self.loss = draw() * 0.3 if draw() < 0.6 else 0.0
        self.doubling = draw() * 0.3 if draw() < 0.5 else 0.0
        self.max_delay_ms = self.random.choice((2, 30, 150))
        self.cut: set[tuple[int, int]] = set()
        self.spared: frozenset[int] = cluster.watch.liars  # they are no members to restart
        everything: list[Callable[[], None]] = [
            self.crash,
            self.crash,
            self.crash_between_effects,
            self.crash_between_effects,
            self.restart,
            self.restart,
            self.restart_all,
            self.cut_link,
            self.partition,
            self.reconnect,
            self.reject,
            self.toggle_node,
            self.toggle_disk,
            self.toggle_signer,
            self.toggle_submission,
            self.shift_clock,
            self.sync,
            self.sync,
        ]
        self.faults = [fault for fault in everything if draw() < 0.7]
        self.rate = self.random.choice((0.02, 0.1, 0.3))
        cluster.deliver = self.deliver

    def run(self, duration_ms: int) -> None:
        for _ in range(duration_ms // STEP_MS):
            if self.faults and self.random.random() < self.rate:
                self.random.choice(self.faults)()
            self.cluster.run_for(STEP_MS)
            for member in self.cluster.members:
                check_bounds(member.round, self.cluster.quorum)

    def heal(self) -> None:
        """Every fault ends, and every member is up. Links stay as slow as they are, and clocks as wrong."""
        self.loss = self.doubling = 0.0
        self.cut.clear()
        for member in self.cluster.members:
            member.node_down = member.disk_full = member.signer_down = member.refuses_submission = False
            member.crash_after = None
            member.rejects.clear()
            if not member.alive and member.index not in self.spared:
                self.cluster.restart(member.index)

    # --- the network

    def deliver(self, sender: int, receiver: int, _message: Message) -> tuple[int, ...]:
        if (sender, receiver) in self.cut or self.random.random() < self.loss:
            return ()
        copies = 2 if self.random.random() < self.doubling else 1
        return tuple(self.random.randint(1, self.max_delay_ms) for _ in range(copies))

    def cut_link(self) -> None:
        """One direction of one link."""
        self.cut.add((self.any().index, self.any().index))

    def partition(self) -> None:
        side = {m.index for m in self.cluster.members if self.random.random() < 0.5}
        for a in self.cluster.members:
            for b in self.cluster.members:
                if (a.index in side) != (b.index in side):
                    self.cut.add((a.index, b.index))

    def reconnect(self) -> None:
        self.cut.clear()

    # --- members

    def any(self) -> Member:
        return self.random.choice([m for m in self.cluster.members if m.index not in self.spared])

    def crash(self) -> None:
        self.any().crash()

    def crash_between_effects(self) -> None:
        """Soon, in the middle of whatever list of effects comes then."""
        self.any().crash_after = self.random.randrange(6)

    def restart(self) -> None:
        self.cluster.restart(self.any().index)

    def restart_all(self) -> None:
        for member in self.cluster.members:
            if member.index not in self.spared:
                self.cluster.restart(member.index)

    def reject(self) -> None:
        """A member's node dislikes a block that is under discussion; for Q of them that would be right."""
        member = self.any()
        proposals = member.round.agreement.ballots.proposals
        if proposals and not any(m.rejects for m in self.cluster.members):
            member.rejects.add(self.random.choice(list(proposals.values())).block_hash)

    def toggle_node(self) -> None:
        member = self.any()
        member.node_down = not member.node_down

    def toggle_disk(self) -> None:
        member = self.any()
        member.disk_full = not member.disk_full

    def toggle_signer(self) -> None:
        member = self.any()
        member.signer_down = not member.signer_down

    def toggle_submission(self) -> None:
        member = self.any()
        member.refuses_submission = not member.refuses_submission

    def shift_clock(self) -> None:
        self.any().offset_ms = self.random.randint(-MAX_OFFSET_MS, MAX_OFFSET_MS)

    def sync(self) -> None:
        self.cluster.sync(self.any().index)
