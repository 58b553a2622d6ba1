"""A member on Kafka as tests look at it: a transport and what it delivered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from transports.base import LinkStatus
from transports.kafka import KafkaTransport
from transports.kafka_settings import KafkaSettings

LIMIT_S = 60.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must come; the limit only ends a failed test."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


def proposal(size: int, seed: int = 0) -> bytes:
    """What a transport takes for the envelope of a block proposal, with a block of ``size`` bytes."""
    rng = random.Random(seed)
    fields = [1, bytes(32), 0, 0, "proposal", 1, 0, seed, rng.randbytes(size), rng.randbytes(64)]
    return msgspec.msgpack.encode(fields)


class Member:
    """Member ``own`` of ``members``, started. ``received`` is what was delivered, in order."""

    def __init__(self, settings: KafkaSettings, members: int, own: int, **options: int) -> None:
        self.received: list[bytes] = []
        self.ways: set[str] = set()  # the topics they came by
        self.transport = KafkaTransport(settings, members, own, **options)
        self.transport.start(self._take)

    def _take(self, data: bytes, topic: str) -> None:
        self.ways.add(topic)
        self.received.append(data)

    @property
    def link(self) -> LinkStatus:
        (link,) = self.transport.status()
        return link

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.transport.send(message)

    def wait_for(self, *messages: bytes) -> None:
        """Wait until all of these have been delivered."""
        until(lambda: set(messages) <= set(self.received), f"{[message[:20] for message in messages]} arrive")

    def close(self) -> None:
        self.transport.close()
