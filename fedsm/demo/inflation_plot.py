"""The plot of ``fedsm demo --inflation``: three periods of reissuances, and a leader that dies in one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedsm.demo.inflation_verdict import PERIODS, TakeOver, asset_of
from fedsm.demo.scenario import Scenario
from fedsm.errors import FedsmError

if TYPE_CHECKING:
    from fedsm.demo.cast import Cast
    from fedsm.demo.screen import Screen
    from fedsm.demo.treasury import Treasury
    from states.quorum import Quorum

KILLS = 3  # leaders that may be killed until one of them dies in time


class InflationScenario(Scenario):
    """Runs a cast until three periods are reissued, and more if ``blocks`` asks for them. Clients pay meanwhile."""

    def __init__(
        self,
        cast: Cast,
        quorum: Quorum,
        blocks: int,
        interval_s: float,
        screen: Screen,
        treasury: Treasury,
        *,
        faults: bool,
    ) -> None:
        super().__init__(cast, quorum, blocks, interval_s, screen, faults=faults)
        self._treasury = treasury
        self._period = treasury.config.inflation.period
        self._period_limit_s = self._limit_s + self._period * interval_s
        self.take_over: TakeOver | None = None

    def _play(self) -> None:
        traffic = self._treasury.traffic
        traffic.start()
        try:
            self._complete(self._period)
            periods = 1
            if self._faults:
                periods += self._kill_leaders()
            while periods < PERIODS:
                periods += 1
                self._complete(periods * self._period)
            self._reach(self._blocks)
        finally:
            traffic.stop()
            traffic.join()
        self._confirm_payments()

    def _kill_leaders(self) -> int:
        """One, in the second period; if it was too quick, another one in the next. Gives the periods that took."""
        for kill in range(1, KILLS + 1):
            due_height = (1 + kill) * self._period
            victim = self._kill_leader(due_height)
            self._complete(due_height)
            self._restart(victim)
            if self._sent(victim, due_height) < set(self._treasury.issued):
                self.take_over = TakeOver(due_height, victim)
                return kill
            self._screen.say(f"member {victim} had sent all reissuances before it died: once more")
        raise FedsmError(f"none of {KILLS} leaders could be killed in the middle of a reissuance")

    def _kill_leader(self, due_height: int) -> int:
        """SIGKILL to the member whose block made the reissuance due, as soon as it has taken that up."""
        self._wait(lambda: self._leader_at_work(due_height) is not None, f"no reissuance at height {due_height}")
        victim = self._leader_at_work(due_height)
        if victim is None:
            raise FedsmError(f"no member leads the reissuance due at height {due_height}")
        self._cast.daemons[victim].kill()
        self.killed.append(victim)
        self._screen.lost(victim)
        self._screen.say(
            f"killed member {victim}, the leader of the reissuance due at height {due_height} (SIGKILL)"
        )
        return victim

    def _leader_at_work(self, due_height: int) -> int | None:
        """The member whose block is at the due height, once its machines are in the state Reissue after it."""
        for member in self._running():
            rounds = [
                line["round"]
                for line in self._cast.lines(member, "block_accepted")
                if line["height"] == due_height and line["round"] is not None
            ]
            leads = any(self._quorum.proposer(due_height, round_) == member for round_ in rounds)
            states = self._cast.lines(member, "state")
            if leads and any(line["state"] == "Reissue" and line["height"] == due_height + 1 for line in states):
                return member
        return None

    def _complete(self, due_height: int) -> None:
        """Wait until all members that were there all the time have seen all assets reissued."""
        assets = set(self._treasury.issued)

        def done() -> bool:
            seen = [self._assets_in(i, "reissuance_confirmed", due_height) for i in self._witnesses()]
            return bool(self._deferred(due_height)) or all(confirmed == assets for confirmed in seen)

        self._wait(done, f"the reissuances due at height {due_height} did not confirm")
        if self._deferred(due_height):
            raise FedsmError(f"due at height {due_height}: {self._deferred(due_height)}")

    def _witnesses(self) -> list[int]:
        """Members that were never killed; others may find in the chain what they do not log."""
        return [i for i in self._running() if i not in self.killed]

    def _deferred(self, due_height: int) -> str:
        """What a witness said of a reissuance that it gave up for this period."""
        for member in self._witnesses():
            for line in self._cast.lines(member, "reissuance_deferred"):
                if line["height"] == due_height:
                    return f"member {member} deferred {line['detail']}"
        return ""

    def _sent(self, member: int, due_height: int) -> set[str]:
        return self._assets_in(member, "reissuance_sent", due_height)

    def _assets_in(self, member: int, event: str, due_height: int) -> set[str]:
        lines = self._cast.lines(member, event)
        return {asset_of(line["detail"]) for line in lines if line["height"] == due_height}

    def _wait(self, condition: Callable[[], bool], problem: str) -> None:
        reached = self._cast.wait_for(condition, self._period_limit_s)
        self._check_daemons()
        if not reached:
            raise FedsmError(f"{problem} within {self._period_limit_s:.0f} s")

    def _confirm_payments(self) -> None:
        """Wait for the last payments, which may have to reach the node of another proposer."""
        payments = list(self._treasury.traffic.payments)
        for _ in range(2 * self._quorum.members):
            if not self._treasury.unconfirmed(payments):
                return
            self._reach(max(self.height(i) for i in self._running()) + 1)
