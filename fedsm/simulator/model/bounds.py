"""What an exploration is about, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from states.quorum import Quorum


@dataclass(frozen=True)
class Case:
    """A federation and the bounds within which every state of it is visited.

    ``rounds`` has the number of rounds of each height. Timers of later rounds do not fire and messages of later
    rounds are lost, but members go on to take what comes. ``crashes``: how often members go down, all together.
    ``liars`` run no machines: all their votes and blocks are under way from the beginning.
    """

    name: str
    quorum: Quorum
    rounds: tuple[int, ...]
    crashes: int = 0
    liars: frozenset[int] = frozenset()

    def __str__(self) -> str:
        rounds = " and ".join(map(str, self.rounds))
        liars = f", member {', '.join(map(str, sorted(self.liars)))} lies" if self.liars else ""
        return (
            f"{self.name}: {self.quorum.threshold}-of-{self.quorum.members}, Q = {self.quorum.votes}; "
            f"rounds at each height: {rounds}; crashes: {self.crashes}{liars}"
        )

    @property
    def heights(self) -> int:
        """How many blocks are made."""
        return len(self.rounds)

    @property
    def honest(self) -> tuple[int, ...]:
        """The members whose machines run."""
        return tuple(member for member in range(self.quorum.members) if member not in self.liars)

    def is_within(self, height: int, round_: int) -> bool:
        """Whether this round is part of the exploration."""
        return 1 <= height <= self.heights and 0 <= round_ < self.rounds[height - 1]
