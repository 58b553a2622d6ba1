"""Kafka: members write to topics of a broker that nobody trusts, and read each other's.

Block proposals go to one topic, everything else to a topic of the sender, and so do proposals that have to be sent
again, if they are not too large. One thread owns all connections; it
connects again by itself whenever something fails. A message that the broker has not acknowledged by then is
written again, so the broker may hold it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from transports.base import Deliver, LinkStatus, TransportError, start_thread
from transports.kafka_cluster import Cluster, Topic
from transports.kafka_errors import BrokerError
from transports.kafka_outbox import BATCH_BYTES, Outbox
from transports.kafka_reader import Place, Reader
from transports.kafka_records import BATCH_OVERHEAD_BYTES
from transports.kafka_settings import KafkaSettings
from transports.kafka_tasks import all_of
from transports.kafka_wire import Access
from transports.kafka_writer import Writer
from transports.limits import MAX_MEMBERS, MAX_MESSAGE_BYTES
from transports.rates import SenderRates
from transports.recent import Recent

START_S = 8.0  # for the first attempt to end; it goes on by itself after that
BACKOFF_S = 0.1  # doubled at each failure, up to
BACKOFF_MAX_S = 2.0
STEADY_S = 10.0  # a link that stood this long makes the next back-off start anew
FLUSH_S = 0.25

# In messages. A member's topic holds a heartbeat a second beside the few messages of each round, which their
# senders repeat while anybody lacks them; a proposal is large and its sender repeats it too.
MEMBER_LOOK_BACK = 64
MEMBER_BACKLOG = 128
MEMBER_FETCH_BYTES = 256 * 1024
PROPOSALS_LOOK_BACK = 4
PROPOSALS_BACKLOG = 32
OWN_PROPOSALS = 64  # that are recognised when they come back

_PROPOSAL = "proposal"
_SIGNATURE_BYTES = 64  # an envelope ends with its signature

log = structlog.get_logger(__name__)
# Without a handler Python prints the warnings of libraries in the midst of our lines.
logging.getLogger("kafka").addHandler(logging.NullHandler())


class _Head(msgspec.Struct, array_like=True):
    """The fields of an envelope up to its kind; decoding stops looking there."""

    version: int
    chain: msgspec.Raw
    epoch: int
    sender: int
    kind: str


_head_decoder = msgspec.msgpack.Decoder(_Head)


class KafkaTransport:
    """The topics as member ``own`` of ``members`` uses them."""

    def __init__(
        self, settings: KafkaSettings, members: int, own: int, *, max_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        if not 0 <= own < members <= MAX_MEMBERS:
            raise TransportError(f"no federation has {members} members and a member {own}")
        self._settings = settings
        self._members = members
        self._own = own
        self._max_bytes = max_bytes
        self._outbox = Outbox()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._own_proposals: Recent[bytes, bool] = Recent(OWN_PROPOSALS)
        self._lock = threading.Lock()  # guards _running and the life of _loop
        self._running = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()  # the first attempt has ended, or the thread
        self._refusal: BrokerError | None = None  # what the last attempt failed with, if trying again is useless
        self._failure = ""
        self._connected_since = (False, time.time_ns() // 1_000_000)
        self._reader: Reader | None = None

    def start(self, deliver: Deliver) -> None:
        """Connect, create missing topics and begin to receive; see Transport.start.

        Raises TransportError when the first attempt shows that this cannot work: refused credentials, a bad
        certificate, a missing permission, a topic that cannot be created. While no broker can be reached it
        returns all the same, after START_S at the latest, and goes on trying.
        """
        if self._thread is not None:
            raise TransportError("this transport was started before")
        settings = self._settings
        access = Access(None if settings.tls is None else settings.tls.context(), settings.sasl)
        if settings.tls is None and settings.sasl is not None and settings.sasl.mechanism == "PLAIN":
            log.warning("kafka_password_in_clear", address=settings.address, detail="use TLS, or SCRAM")
        self._running = True
        thread = start_thread("kafka-transport", self._run, access, deliver)
        self._thread = thread
        self._tried.wait(START_S)
        if self._refusal is not None:
            self.close()
            raise TransportError(str(self._refusal))

    def send(self, data: bytes) -> None:
        """Put a message into the outbox; see Transport.send. Raises TransportError if too long."""
        is_proposal = _is_proposal(data)
        limit = self._max_bytes if is_proposal else min(self._max_bytes, BATCH_BYTES)
        if len(data) > limit:
            raise TransportError(f"a message of {len(data)} bytes is beyond the limit of {limit}")
        settings = self._settings
        with self._lock:
            if not self._running:
                raise TransportError("the Kafka transport is not running")
            # Another member may have buried in the proposals' topic what has to be sent again; nobody can in ours.
            again = is_proposal and self._own_proposals.get(data[-_SIGNATURE_BYTES:])
            if is_proposal:
                self._own_proposals.put(data[-_SIGNATURE_BYTES:], True)
            common = is_proposal and not (again and len(data) <= BATCH_BYTES)
            self._outbox.put(settings.proposals_topic if common else settings.member_topic(self._own), data)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """Write what is queued, for FLUSH_S at most, and stop. Not to be called from ``deliver``."""
        with self._lock:
            if self._running:
                self._running = False
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def status(self) -> tuple[LinkStatus, ...]:
        """The link to the brokers, as one."""
        connected, since_ms = self._connected_since
        reader = self._reader
        received, refused = (reader.received, reader.refused) if reader is not None else (0, 0)
        return (LinkStatus(None, self._settings.address, connected, since_ms, received, refused),)

    def _run(self, access: Access, deliver: Deliver) -> None:
        try:
            asyncio.run(self._main(access, deliver))
        finally:
            with self._lock:  # from here on send() refuses, also if this thread failed
                self._running = False
            self._mark(connected=False)
            self._tried.set()

    async def _main(self, access: Access, deliver: Deliver) -> None:
        asyncio.get_running_loop().set_exception_handler(_note)
        self._reader = Reader(self._places(), self._filter(deliver))
        keeper = asyncio.create_task(self._keep(access, self._reader))
        with self._lock:
            self._loop = asyncio.get_running_loop()
            if not self._running:
                self._stop.set()
        try:
            await self._stop.wait()
            end = time.monotonic() + FLUSH_S
            while self._connected_since[0] and not self._outbox.empty and time.monotonic() < end:
                await asyncio.sleep(0.005)
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        finally:
            with self._lock:  # while it is still open: another thread may be about to call it
                self._loop = None

    async def _keep(self, access: Access, reader: Reader) -> None:
        """Connect, and connect again after each failure."""
        backoff_s = BACKOFF_S
        while True:
            begun = time.monotonic()
            try:
                await self._live(access, reader)
            except BrokerError as error:
                failure = error
            except Exception:
                # Nothing a broker sends may end this thread.
                log.exception("transport_fault", transport="kafka")
                failure = BrokerError("an error of our own")
            self._go_down(failure)
            if time.monotonic() - begun > STEADY_S:
                backoff_s = BACKOFF_S
            await asyncio.sleep(backoff_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _live(self, access: Access, reader: Reader) -> None:
        """One life of connections. Ends with BrokerError."""
        cluster = Cluster(self._settings.servers, access, self._topics())
        try:
            await cluster.connect()
            writer = Writer(self._outbox, self._wake)
            await all_of((reader.follow(cluster, self._come_up), writer.run(cluster)))
        finally:
            cluster.close()

    def _topics(self) -> list[Topic]:
        settings = self._settings
        topics = [
            Topic(settings.proposals_topic, reads=True, writes=True, config=self._config(self._max_bytes)),
        ]
        for member in range(self._members):
            own = member == self._own
            config = self._config(BATCH_BYTES)
            topics.append(Topic(settings.member_topic(member), reads=not own, writes=own, config=config))
        return topics

    def _config(self, batch_bytes: int) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "compression.type": "uncompressed",
            "max.message.bytes": str(batch_bytes + BATCH_OVERHEAD_BYTES),
            "retention.ms": str(self._settings.retention_ms),
        }

    def _places(self) -> list[Place]:
        settings, now_s = self._settings, time.monotonic()
        proposals = Place(
            settings.proposals_topic,
            look_back=PROPOSALS_LOOK_BACK,
            backlog=PROPOSALS_BACKLOG,
            fetch_bytes=self._max_bytes + BATCH_OVERHEAD_BYTES,
            max_bytes=self._max_bytes,
            rates=SenderRates(self._members, now_s),
        )
        others = [
            Place(
                settings.member_topic(member),
                look_back=MEMBER_LOOK_BACK,
                backlog=MEMBER_BACKLOG,
                fetch_bytes=MEMBER_FETCH_BYTES,
                max_bytes=BATCH_BYTES,
                rates=SenderRates(self._members, now_s),
            )
            for member in range(self._members)
            if member != self._own
        ]
        return [*others, proposals]

    def _filter(self, deliver: Deliver) -> Callable[[bytes, str], bool]:
        """``deliver`` for all but our own proposals, which come back to us like everybody's."""

        def take(data: bytes, topic: str) -> bool:
            with self._lock:
                if self._own_proposals.get(data[-_SIGNATURE_BYTES:]):
                    return False
            try:
                deliver(data, topic)
            except Exception:
                # Nothing a peer sends may end this thread, whatever the code above makes of it.
                log.exception("delivery_failed")
            return True

        return take

    def _come_up(self) -> None:
        self._failure = ""
        self._mark(connected=True)
        log.info("link_up", address=self._settings.address)
        self._tried.set()

    def _go_down(self, failure: BrokerError) -> None:
        """Say that and why there is no link, once for each reason."""
        if not self._tried.is_set():
            if failure.final:
                self._refusal = failure
                self._stop.set()
            self._tried.set()
        was_up = self._connected_since[0]
        self._mark(connected=False)
        if self._refusal is None and (was_up or str(failure) != self._failure):
            say = log.error if failure.final else log.warning
            say("link_down", address=self._settings.address, detail=f"{failure}; trying again")
        self._failure = str(failure)

    def _mark(self, *, connected: bool) -> None:
        if connected != self._connected_since[0]:
            self._connected_since = (connected, time.time_ns() // 1_000_000)


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio has to say about connections that broke; we have our own line about them."""
    log.debug("kafka_connection", detail=str(context.get("exception") or context.get("message")))


def _is_proposal(data: bytes) -> bool:
    try:
        return _head_decoder.decode(data).kind == _PROPOSAL
    except (ValueError, RecursionError):
        return False
