"""Whose guard is empty, and whether we sit out a height because ours is (design section 4)."""

from __future__ import annotations

from states.memory import Memory
from states.quorum import Quorum


class Abstention:
    """An empty guard on a chain with history sits out the first height it sees.

    It cannot tell what this key has said there before. The tip may be replaced meanwhile, by one of the same
    height or a lower one: up to that first height the rule holds.
    """

    def __init__(self, member: int, quorum: Quorum) -> None:
        self._member = member
        self._quorum = quorum
        self._first_height: int | None = None
        self._has_voted = False
        self._fresh_members: set[int] = set()

    @property
    def ours_is_fresh(self) -> bool:
        """Whether our own guard knows nothing of the height that is open."""
        return self._member in self._fresh_members

    @property
    def is_needed(self) -> bool:
        """Whether we must not vote.

        With N - Q + 1 members that know nothing no height can close without them: waiting would be for ever. Once
        we have voted for that reason we go on, after a restart too.
        """
        too_few_to_block = len(self._fresh_members) < self._quorum.blocking
        return self.ours_is_fresh and not self._has_voted and too_few_to_block

    def sits_out(self, member: int) -> bool:
        """Whether another member says that it knows nothing, and too few do for it to vote."""
        return member in self._fresh_members and len(self._fresh_members) < self._quorum.blocking

    def open_height(self, memory: Memory) -> None:
        """A height opens; ``memory`` is what the guard holds of it."""
        if self._first_height is None:
            self._first_height = memory.height
        self._has_voted = bool(memory.votes)
        doubtful = memory.fresh and 1 < memory.height <= self._first_height
        self.note(self._member, fresh=doubtful)

    def note(self, member: int, *, fresh: bool) -> None:
        """What a member's heartbeat (or our own guard) says of its memory."""
        if fresh:
            self._fresh_members.add(member)
        else:
            self._fresh_members.discard(member)
