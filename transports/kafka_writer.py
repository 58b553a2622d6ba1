"""Writes the outbox to the topics: several requests under way at once, none waits for the one before it."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from kafka.protocol.producer import ProduceRequest

from transports.kafka_cluster import PARTITION, Cluster
from transports.kafka_errors import (
    INVALID_RECORD,
    MESSAGE_TOO_LARGE,
    NO_ERROR,
    POLICY_VIOLATION,
    TOPIC_DENIED,
    BrokerError,
    denied,
    error_name,
)
from transports.kafka_outbox import Outbox, Parcel
from transports.kafka_records import make_batch
from transports.kafka_tasks import all_of
from transports.kafka_wire import Connection, listed

REQUESTS_UNDER_WAY = 4
ACKNOWLEDGED_BY_LEADER = 1  # more would cost time; what gets lost is sent again from above
PRODUCE_TIMEOUT_MS = 5_000

_REFUSED = (MESSAGE_TOO_LARGE, INVALID_RECORD, POLICY_VIOLATION)  # this message, not the topic

log = structlog.get_logger(__name__)


class Writer:
    """Of one life of connections. ``wake`` is set when something was put into the outbox."""

    def __init__(self, outbox: Outbox, wake: asyncio.Event) -> None:
        self._outbox = outbox
        self._wake = wake
        self._posted: asyncio.Queue[tuple[Connection, Parcel, asyncio.Future[Any]]] = asyncio.Queue(
            REQUESTS_UNDER_WAY
        )
        self._connections: dict[int, Connection] = {}

    async def run(self, cluster: Cluster) -> None:
        """Write until something fails. What the brokers have not acknowledged then goes back into the outbox."""
        try:
            await all_of((self._post(cluster), self._settle()))
        finally:
            self._outbox.restore()

    async def _post(self, cluster: Cluster) -> None:
        for node in cluster.written_to:
            self._connections[node] = await cluster.open(node)
        while True:
            parcel = self._outbox.take()
            if parcel is None:
                await self._wake.wait()
                self._wake.clear()
                continue
            connection = self._connections[cluster.leaders[parcel.topic]]
            await self._posted.put((connection, parcel, connection.post(_produce_request(parcel))))

    async def _settle(self) -> None:
        while True:
            connection, parcel, future = await self._posted.get()
            answer = await connection.answer(future)
            codes = [
                part.error_code for topic in listed(answer.responses) for part in listed(topic.partition_responses)
            ]
            _check(codes[0] if len(codes) == 1 else INVALID_RECORD, parcel)
            self._outbox.settle(parcel)


def _produce_request(parcel: Parcel) -> Any:
    kind = ProduceRequest.TopicProduceData
    records = make_batch(parcel.messages)
    return ProduceRequest(
        transactional_id=None,
        acks=ACKNOWLEDGED_BY_LEADER,
        timeout_ms=PRODUCE_TIMEOUT_MS,
        topic_data=[
            kind(name=parcel.topic, partition_data=[kind.PartitionProduceData(index=PARTITION, records=records)])
        ],
    )


def _check(code: int, parcel: Parcel) -> None:
    if code in _REFUSED:
        size = sum(map(len, parcel.messages))
        advice = f"; max.message.bytes of this topic must be more than {size}" if code == MESSAGE_TOO_LARGE else ""
        detail = f"the Kafka broker refused it: {error_name(code)}{advice}"
        log.warning("message_not_sent", topic=parcel.topic, detail=detail)
    elif code == TOPIC_DENIED:
        raise denied("write to", parcel.topic)
    elif code != NO_ERROR:
        raise BrokerError(f"the Kafka topic {parcel.topic} cannot be written: {error_name(code)}")
