"""What waits to be written to Kafka: bounded in messages and bytes, the oldest are lost first."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

OUTBOX_MESSAGES = 256
OUTBOX_BYTES = 32 * 1024 * 1024
# Small messages of one topic share a record batch of at most this size; a larger message has one of its own.
BATCH_BYTES = 64 * 1024


@dataclass(frozen=True, eq=False)
class Parcel:
    """Messages for one topic that are written together."""

    topic: str
    messages: tuple[bytes, ...]


class Outbox:
    """Filled from any thread, emptied by the one that writes. What was taken stays until it is settled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0  # of what waits
        self._taken: list[Parcel] = []
        self.lost = 0  # messages that had to make room

    def put(self, topic: str, data: bytes) -> None:
        """Add a message; the oldest ones go when there is no room for it."""
        with self._lock:
            self._waiting.append((topic, data))
            self._bytes += len(data)
            self._trim()

    def take(self) -> Parcel | None:
        """The next messages of one topic, in the order in which they were put; ``None`` if nothing waits."""
        with self._lock:
            if not self._waiting:
                return None
            topic = self._waiting[0][0]
            messages: list[bytes] = []
            room = BATCH_BYTES
            while self._waiting and self._waiting[0][0] == topic:
                size = len(self._waiting[0][1])
                if messages and size > room:
                    break
                messages.append(self._waiting.popleft()[1])
                self._bytes -= size
                room -= size
            parcel = Parcel(topic, tuple(messages))
            self._taken.append(parcel)
            return parcel

    def settle(self, parcel: Parcel) -> None:
        """The broker has answered: forget what was taken."""
        with self._lock:
            self._taken.remove(parcel)

    def restore(self) -> None:
        """Nobody will answer any more: what was taken and not settled waits again, before the rest."""
        with self._lock:
            for parcel in reversed(self._taken):
                self._waiting.extendleft((parcel.topic, data) for data in reversed(parcel.messages))
                self._bytes += sum(map(len, parcel.messages))
            self._taken.clear()
            self._trim()

    @property
    def empty(self) -> bool:
        """Whether nothing waits and everything taken was settled."""
        with self._lock:
            return not self._waiting and not self._taken

    def _trim(self) -> None:
        while len(self._waiting) > OUTBOX_MESSAGES or (self._bytes > OUTBOX_BYTES and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft()[1])
            self.lost += 1
