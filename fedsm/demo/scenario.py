"""The plot of the demo: the proposer of a round is killed and comes back, a second member is stopped."""

from __future__ import annotations

import time

from fedsm.demo.cast import Cast
from fedsm.demo.screen import Screen
from fedsm.errors import FedsmError
from states.quorum import Quorum

START_LIMIT_S = 60.0


class Scenario:
    """Runs a cast until ``blocks`` blocks are made; as many members are hurt as the federation tolerates."""

    def __init__(
        self, cast: Cast, quorum: Quorum, blocks: int, interval_s: float, screen: Screen, *, faults: bool
    ) -> None:
        self._cast = cast
        self._quorum = quorum
        self._blocks = blocks
        self._limit_s = START_LIMIT_S + 6 * interval_s
        self._screen = screen
        self._faults = faults and quorum.crash_tolerance >= 1
        self.killed: list[int] = []
        self.restarted: list[int] = []
        self.stopped: list[int] = []

    def run(self) -> str | None:
        """Play it. Returns what went wrong: the chain stood still for too long, or a daemon ended by itself."""
        self._cast.start()
        try:
            self._play()
        except FedsmError as error:
            return str(error)
        return None

    def _play(self) -> None:
        self._reach(max(1, self._blocks // 4))
        if self._faults:
            victim = self._kill_a_proposer()
            self._reach(max(2, self._blocks // 2))
            self._restart(victim)
            self._reach(max(3, self._blocks * 2 // 3))
            self._stop_another(victim)
        self._reach(self._blocks)

    def height(self, member: int) -> int:
        """The height of the last block that a member's daemon saw accepted or as the tip."""
        lines = self._cast.lines(member, "block_accepted") + self._cast.lines(member, "tip")
        return max((line["height"] for line in lines), default=0)

    def _running(self) -> list[int]:
        return [i for i, daemon in enumerate(self._cast.daemons) if daemon.running]

    def _reach(self, height: int) -> None:
        """Wait until every running member has ``height``, block by block."""
        for step in range(1, height + 1):
            reached = self._cast.wait_for(
                lambda step=step: all(self.height(i) >= step for i in self._running()),  # type: ignore[misc]
                self._limit_s,
            )
            self._check_daemons()
            if not reached:
                late = [i for i in self._running() if self.height(i) < step]
                raise FedsmError(f"no block {step} at members {late} within {self._limit_s:.0f} s")

    def _check_daemons(self) -> None:
        for i, daemon in enumerate(self._cast.daemons):
            if not daemon.running and i not in self.stopped and i not in self._away():
                raise FedsmError(f"the daemon of member {i} ended by itself, status {daemon.exit_status}")

    def _away(self) -> list[int]:
        return [i for i in self.killed if i not in self.restarted]

    def _kill_a_proposer(self) -> int:
        height = max(self.height(i) for i in self._running()) + 1
        victim = self._quorum.proposer(height, 0)

        def is_proposing() -> bool:
            lines = self._cast.lines(victim, "state")
            return any(line["state"] == "Propose" and line["height"] == height for line in lines)

        self._cast.wait_for(is_proposing, self._limit_s)
        self.killed.append(victim)
        self._cast.daemons[victim].kill()
        self._screen.lost(victim)
        self._screen.say(f"killed member {victim}, the proposer of block {height} (SIGKILL)")
        return victim

    def _restart(self, victim: int) -> None:
        begun = time.monotonic()
        before = len(self._cast.lines(victim, "started"))
        self._cast.daemons[victim].start()
        self.restarted.append(victim)
        self._cast.wait_for(lambda: len(self._cast.lines(victim, "started")) > before, START_LIMIT_S)
        self._screen.say(f"restarted member {victim} ({time.monotonic() - begun:.1f} s to start)")

    def _stop_another(self, victim: int) -> None:
        other = (victim + 2) % self._quorum.members
        if other == victim:
            other = (victim + 1) % self._quorum.members
        self.stopped.append(other)
        self._cast.daemons[other].terminate()
        self._screen.say(f"stopped member {other} (SIGTERM), it stays away")
