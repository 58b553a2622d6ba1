"""Reads the topics from where this member stands: never from the beginning, never more than it can take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest

from transports.kafka_cluster import PARTITION, TOPIC_POLL_S, TOPIC_WAIT_S, Cluster
from transports.kafka_errors import (
    NO_ERROR,
    NOT_YET,
    OFFSET_OUT_OF_RANGE,
    TOPIC_DENIED,
    BrokerError,
    OversizeError,
    denied,
    error_name,
)
from transports.kafka_records import MAX_OFFSET, Reading, read_batches
from transports.kafka_tasks import all_of
from transports.kafka_wire import MAX_ANSWER_BYTES, Connection, listed
from transports.rates import SenderRates

# Apache Kafka answers a waiting fetch as soon as there is something, but not every broker does: some look again
# only when half of the wait is over. Hence a short one; while nothing comes this makes 40 requests a second.
FETCH_WAIT_MS = 25
LOST_REST_S = 0.25  # before a topic is read on whose broker lost what we had read
YIELD_EVERY = 16  # messages handed on before our own have their turn

_LATEST, _EARLIEST = -1, -2
_NOBODY = -1

log = structlog.get_logger(__name__)


@dataclass
class Place:
    """A topic that is read, and how far. ``look_back`` and ``backlog`` count messages.

    ``look_back`` is where reading begins, before the end of the topic. With more than ``backlog`` unread we were
    away, or somebody floods the topic: the oldest are skipped. ``fetch_bytes`` bounds what is asked for at once,
    ``max_bytes`` a message. A topic that costs more than its writer may cost us is left alone for a while.
    """

    topic: str
    look_back: int
    backlog: int
    fetch_bytes: int
    max_bytes: int
    rates: SenderRates
    offset: int | None = None  # of the next message; None: not known
    rests_until_s: float = 0.0
    warned: bool = False


class Reader:
    """Remembers the places across connections.

    ``deliver`` gets each message and its topic, must not raise, and returns whether it was a message for us.
    """

    def __init__(self, places: Sequence[Place], deliver: Callable[[bytes, str], bool]) -> None:
        self._places = places
        self._deliver = deliver
        self._answer_bytes = sum(place.fetch_bytes for place in places)
        self.received = 0  # messages handed on
        self.refused = 0  # messages and batches that no member writes
        self.skipped = 0  # messages left unread, as far as the broker told

    async def follow(self, cluster: Cluster, on_answers: Callable[[], None]) -> None:
        """Read all topics until something fails; ``on_answers`` is called once every broker answered a fetch."""
        by_leader: dict[int, list[Place]] = {}
        for place in self._places:
            by_leader.setdefault(cluster.leaders[place.topic], []).append(place)
        silent = set(by_leader)

        def hear(node: int) -> None:
            if node in silent:
                silent.remove(node)
                if not silent:
                    on_answers()

        await all_of(
            self._follow_leader(cluster, node, places, lambda node=node: hear(node))  # type: ignore[misc]
            for node, places in by_leader.items()
        )

    async def _follow_leader(
        self, cluster: Cluster, node: int, places: Sequence[Place], on_answer: Callable[[], None]
    ) -> None:
        clock = asyncio.get_running_loop().time
        connection = await cluster.open(node, self._answer_bytes + MAX_ANSWER_BYTES)
        await self._locate(connection, places)
        while True:
            begun = clock()
            due = {place.topic: place for place in places if place.rests_until_s <= begun}
            came = await self._fetch(connection, due) if due else 0
            on_answer()
            if not came:  # whatever the broker does, this does not become a busy loop
                await asyncio.sleep(max(0.0, begun + FETCH_WAIT_MS / 1000 - clock()))

    async def _locate(self, connection: Connection, places: Sequence[Place]) -> None:
        """Find where to read: where we were, if that is still there and not too far back."""
        starts = await self._offsets(connection, places, _EARLIEST)
        ends = await self._offsets(connection, places, _LATEST)
        for place in places:
            start, end = starts[place.topic], ends[place.topic]
            if place.offset is None or not start <= place.offset <= end:
                place.offset = max(start, end - place.look_back)
            elif end - place.offset > place.backlog:
                self.skipped += end - place.backlog - place.offset
                place.offset = end - place.backlog

    async def _offsets(self, connection: Connection, places: Sequence[Place], which: int) -> dict[str, int]:
        kind = ListOffsetsRequest.ListOffsetsTopic
        partition = kind.ListOffsetsPartition(partition_index=PARTITION, current_leader_epoch=-1, timestamp=which)
        request = ListOffsetsRequest(
            replica_id=_NOBODY,
            isolation_level=0,
            topics=[kind(name=place.topic, partitions=[partition]) for place in places],
        )
        end = asyncio.get_running_loop().time() + TOPIC_WAIT_S
        while True:
            answer = await connection.call(request)
            parts = [(topic.name, part) for topic in listed(answer.topics) for part in listed(topic.partitions)]
            if not any(part.error_code in NOT_YET for _, part in parts) or asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(TOPIC_POLL_S)  # a topic that was just made: its leader has not heard of it yet
        found: dict[str, int] = {}
        for topic, part in parts:
            _check(part.error_code, topic)
            found[topic] = min(max(part.offset, 0), MAX_OFFSET)
        for place in places:
            if place.topic not in found:
                raise BrokerError(f"{connection.name} does not tell the offsets of the topic {place.topic}")
        return found

    async def _fetch(self, connection: Connection, places: Mapping[str, Place]) -> int:
        """Ask once for what is new and hand it on. Returns how many messages came."""
        try:
            answer = await connection.call(_fetch_request(places.values()))
        except OversizeError:
            for place in self._places:
                place.offset = None  # one of the topics holds what we cannot take: begin anew behind it
            raise
        came = 0
        for topic in listed(answer.responses):
            asked = places.get(topic.topic)
            for part in listed(topic.partitions):
                if asked is not None and part.partition_index == PARTITION:
                    came += await self._take(connection, asked, part)
        return came

    async def _take(self, connection: Connection, place: Place, part: Any) -> int:
        if part.error_code == OFFSET_OUT_OF_RANGE or place.offset is None:
            place.offset = None
            place.rests_until_s = asyncio.get_running_loop().time() + LOST_REST_S
            await self._locate(connection, [place])
            return 0
        _check(part.error_code, place.topic)
        begun_s = time.thread_time()
        records = part.records or b""
        reading = read_batches(records, place.offset)
        place.offset = reading.next_offset
        if reading.refused:
            self._refuse(place, reading.refused)
        self._skip(place, reading, part.high_watermark)
        values = reading.values[-place.backlog :]
        self._charge(place, len(values), len(records), begun_s)
        await self._hand_on(place, values)
        return len(values)

    def _skip(self, place: Place, reading: Reading, end: int) -> None:
        surplus = max(0, len(reading.values) - place.backlog)
        behind = max(0, min(end, MAX_OFFSET) - reading.next_offset - place.backlog)
        self.skipped += surplus + behind
        place.offset = reading.next_offset + behind

    async def _hand_on(self, place: Place, values: Sequence[bytes]) -> None:
        for first in range(0, len(values), YIELD_EVERY):
            begun_s = time.thread_time()
            for value in values[first : first + YIELD_EVERY]:
                if len(value) <= place.max_bytes:
                    self.received += self._deliver(value, place.topic)
                else:
                    self.refused += 1
            self._charge(place, 0, 0, begun_s)
            await asyncio.sleep(0)

    def _charge(self, place: Place, messages: int, size: int, begun_s: float) -> None:
        """Let the topic rest if it has cost too much. ``begun_s`` is when work on it began, in thread_time."""
        now_s = asyncio.get_running_loop().time()
        place.rates.spend(messages, size, time.thread_time() - begun_s, now_s)
        place.rests_until_s = now_s + place.rates.wait_s(now_s)

    def _refuse(self, place: Place, batches: int) -> None:
        self.refused += batches
        if not place.warned:
            place.warned = True
            log.warning(
                "records_refused",
                topic=place.topic,
                detail="compressed or malformed; no member writes such records, and the broker must not compress: "
                "compression.type of this topic must be uncompressed or producer",
            )


def _fetch_request(places: Collection[Place]) -> Any:
    kind = FetchRequest.FetchTopic
    return FetchRequest(
        replica_id=_NOBODY,
        max_wait_ms=FETCH_WAIT_MS,
        min_bytes=1,
        max_bytes=sum(place.fetch_bytes for place in places),  # so that no topic takes the room of another
        isolation_level=0,
        session_id=0,
        session_epoch=-1,  # no incremental sessions
        topics=[
            kind(
                topic=place.topic,
                partitions=[
                    kind.FetchPartition(
                        partition=PARTITION,
                        current_leader_epoch=-1,
                        fetch_offset=place.offset,
                        log_start_offset=-1,
                        partition_max_bytes=place.fetch_bytes,
                    )
                ],
            )
            for place in places
        ],
        forgotten_topics_data=[],
        rack_id="",
    )


def _check(code: int, topic: str) -> None:
    if code == TOPIC_DENIED:
        raise denied("read", topic)
    if code != NO_ERROR:
        raise BrokerError(f"the Kafka topic {topic} cannot be read: {error_name(code)}")
