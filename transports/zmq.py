"""ZeroMQ: every member publishes at its own --nodes entry and subscribes to all others.

One thread owns all sockets. Publishing never waits: for a peer that is not connected a message is lost at
once, for one that reads too slowly when SEND_HIGH_WATER messages wait for it. Re-sending is the core's work.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Sequence

import structlog
import zmq

from transports.base import Deliver, LinkStatus, TransportError
from transports.limits import MAX_MESSAGE_BYTES
from transports.nodes import NodeAddress
from transports.zmq_link import ZmqLink, keep_alive

SEND_HIGH_WATER = 256  # messages waiting for one peer; all peers share the bytes of each
OUTBOX_LIMIT = 256  # messages waiting for our own thread; the oldest are lost first
MAX_SUBSCRIPTION_BYTES = 64  # what a peer may send us on the publishing socket: one byte and an empty topic
UNACKNOWLEDGED_MS = 15_000  # until a peer that takes no more data counts as gone
POLL_MS = 500
FLUSH_MS = 250

log = structlog.get_logger(__name__)


class ZmqTransport:
    """The ZeroMQ mesh as member ``own`` sees it; ``nodes`` is what parse_nodes returned."""

    def __init__(self, nodes: Sequence[NodeAddress], own: int, *, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._nodes = tuple(nodes)
        self._own = own
        self._max_bytes = max_bytes
        self._outbox: deque[bytes] = deque(maxlen=OUTBOX_LIMIT)
        self._links: tuple[ZmqLink, ...] = ()
        self._lock = threading.Lock()  # guards _running and the life of _wakeup
        self._running = False
        self._wakeup = -1
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver) -> None:
        """Bind, connect and begin to receive. Raises TransportError if the own address cannot be bound."""
        if self._thread is not None:
            raise TransportError("this transport was started before")
        # I/O thread 0 serves the publisher, the others one link each.
        context = zmq.Context(io_threads=len(self._nodes))
        poller = zmq.Poller()
        peers = [(i, address) for i, address in enumerate(self._nodes) if i != self._own]
        try:
            publisher = self._bind(context)
            self._links = tuple(
                ZmqLink(context, poller, member, address, io_thread=number, max_bytes=self._max_bytes)
                for number, (member, address) in enumerate(peers, start=1)
            )
        except zmq.ZMQError as error:
            context.destroy(0)
            raise TransportError(self._explain(error)) from None
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poller.register(self._wakeup, zmq.POLLIN)
        self._running = True
        self._thread = threading.Thread(
            target=self._run, args=(context, publisher, poller, deliver), name="zmq-transport", daemon=True
        )
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Publish to all peers that are connected; see Transport.send. Raises TransportError if too long."""
        if len(data) > self._max_bytes:
            raise TransportError(f"a message of {len(data)} bytes is beyond the limit of {self._max_bytes}")
        with self._lock:
            if not self._running:
                raise TransportError("the ZeroMQ transport is not running")
            self._outbox.append(data)
            os.eventfd_write(self._wakeup, 1)

    def close(self) -> None:
        """Publish what is queued, give it FLUSH_MS to leave, and stop. Not to be called from ``deliver``."""
        with self._lock:
            if self._running:
                self._running = False
                os.eventfd_write(self._wakeup, 1)
        if self._thread is not None:
            self._thread.join()

    def status(self) -> tuple[LinkStatus, ...]:
        """The link to every other member, in member order."""
        return tuple(link.status() for link in self._links)

    def _bind(self, context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
        address = self._nodes[self._own]
        socket = context.socket(zmq.PUB)
        socket.affinity = 1
        socket.ipv6 = address.is_ipv6
        socket.linger = FLUSH_MS
        socket.sndhwm = SEND_HIGH_WATER
        socket.maxmsgsize = MAX_SUBSCRIPTION_BYTES
        socket.tcp_maxrt = UNACKNOWLEDGED_MS
        keep_alive(socket)
        socket.bind(address.listening_endpoint)
        return socket

    def _explain(self, error: zmq.ZMQError) -> str:
        address = self._nodes[self._own]
        text = f"cannot listen on {address.listening_endpoint}: {error.strerror}"
        if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
            text += f"; this host has no such address, give *:{address.port} as this member's own entry"
        return text

    def _run(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        publisher: zmq.Socket[bytes],
        poller: zmq.Poller,
        deliver: Deliver,
    ) -> None:
        def deliver_safely(data: bytes) -> None:
            try:
                deliver(data)
            except Exception:
                # Nothing a peer sends may end this thread, whatever the code above makes of it.
                log.exception("a received message could not be handed on")

        try:
            while self._running:
                ready = dict(poller.poll(POLL_MS))
                if self._wakeup in ready:
                    os.eventfd_read(self._wakeup)
                self._publish(publisher)
                for link in self._links:
                    link.serve(ready, deliver_safely)
        finally:
            with self._lock:  # from here on send() refuses, also if this thread failed
                self._running = False
                os.close(self._wakeup)
            self._publish(publisher)
            for link in self._links:
                link.close()
            publisher.close()
            context.term()

    def _publish(self, publisher: zmq.Socket[bytes]) -> None:
        while self._outbox:
            publisher.send(self._outbox.popleft(), zmq.NOBLOCK, copy=False)
