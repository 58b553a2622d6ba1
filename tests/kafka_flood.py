"""A member that floods a Kafka topic with garbage in batches of the form that members write."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from transports.kafka_cluster import Cluster, Topic
from transports.kafka_outbox import Parcel
from transports.kafka_settings import parse_servers
from transports.kafka_wire import Access
from transports.kafka_writer import _produce_request

PER_S = 20_000
BATCH = 200
MESSAGE_BYTES = 100


class KafkaFlood:
    """Writes PER_S messages a second from a thread, while used as a context manager.

    ``sent`` counts those that the broker has taken.
    """

    def __init__(self, address: str, topic: str) -> None:
        self._address, self._topic = address, topic
        self._running = True
        self._thread = threading.Thread(target=lambda: asyncio.run(self._flood()), daemon=True)
        self.sent = 0

    def __enter__(self) -> KafkaFlood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self._thread.join()

    async def _flood(self) -> None:
        topic = Topic(self._topic, reads=False, writes=True, config={})
        cluster = Cluster(parse_servers(self._address), Access(None, None), [topic])
        await cluster.connect()
        connection = await cluster.open(cluster.leaders[self._topic])
        begun_s = time.monotonic()
        while self._running:
            if self.sent > (time.monotonic() - begun_s) * PER_S:
                await asyncio.sleep(0.001)
                continue
            garbage = tuple(os.urandom(MESSAGE_BYTES) for _ in range(BATCH))
            await connection.call(_produce_request(Parcel(self._topic, garbage)))
            self.sent += BATCH
        cluster.close()
