"""Messages for heights that our node has not reached yet, kept in bounds until it does."""

from __future__ import annotations

from states.events import Received
from states.messages import Proposal

MAX_HEIGHTS_AHEAD = 2
MAX_EARLY_PER_MEMBER = 16
MAX_EARLY_BLOCKS_PER_MEMBER = 3  # a proposal may be megabytes


class Mailbox:
    """Early messages by author; a newer one pushes out the author's oldest when its share is full."""

    def __init__(self) -> None:
        self._early: dict[int, list[Received]] = {}

    def keep(self, event: Received, height: int) -> bool:
        """Keep a message for a later height than ``height``. False if it is too far ahead to be believed."""
        if not height < event.message.height <= height + MAX_HEIGHTS_AHEAD:
            return False
        kept = self._early.setdefault(event.sender, [])
        # What is sent again must not push out what it follows from.
        if all(event.envelope != early.envelope for early in kept):
            kept.append(event)
            blocks = [early for early in kept if isinstance(early.message, Proposal)]
            for surplus in blocks[:-MAX_EARLY_BLOCKS_PER_MEMBER]:
                kept.remove(surplus)
            del kept[:-MAX_EARLY_PER_MEMBER]
        return True

    def take(self, height: int) -> list[Received]:
        """Remove and return the messages for ``height``; those for lower heights are dropped."""
        taken: list[Received] = []
        for sender in sorted(self._early):
            taken += [e for e in self._early[sender] if e.message.height == height]
            self._early[sender] = [e for e in self._early[sender] if e.message.height > height]
        return taken
