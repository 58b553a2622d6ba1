"""ZeroMQ: every member publishes at its own --nodes entry and subscribes to all others.

One thread owns all sockets. Publishing never waits: for a peer that is not connected a message is lost at
once, for one that reads too slowly when SEND_HIGH_WATER messages wait for it. Re-sending is the core's work.

With CURVE keys every link is encrypted and only pinned members are at its ends. Without them whoever reaches the
port may listen, and whoever takes a member's address may talk: then the signed envelopes alone protect.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Sequence

import structlog
import zmq

from transports.base import Deliver, LinkStatus, TransportError, start_thread
from transports.curve import CurveKeys
from transports.limits import MAX_MESSAGE_BYTES
from transports.nodes import NodeAddress
from transports.zmq_link import LinkCurve, ZmqLink
from transports.zmq_listener import ZmqListener

OUTBOX_LIMIT = 256  # messages waiting for our own thread; the oldest are lost first
INSPECT_MS = 100

log = structlog.get_logger(__name__)


class ZmqTransport:
    """The ZeroMQ mesh as member ``own`` sees it; ``nodes`` is what parse_nodes returned.

    ``curve`` encrypts all links; its ``peers`` are all members but ``own``.
    """

    def __init__(
        self,
        nodes: Sequence[NodeAddress],
        own: int,
        *,
        curve: CurveKeys | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._nodes = tuple(nodes)
        self._own = own
        self._curve = curve
        self._max_bytes = max_bytes
        self._outbox: deque[bytes] = deque(maxlen=OUTBOX_LIMIT)
        self._ends: tuple[ZmqLink | ZmqListener, ...] = ()
        self._lock = threading.Lock()  # guards _running and the life of _wakeup
        self._running = False
        self._wakeup = -1
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver) -> None:
        """Bind, connect and begin to receive.

        Raises TransportError if the own address cannot be bound, or if CURVE keys are not those of the peers.
        """
        if self._thread is not None:
            raise TransportError("this transport was started before")
        self._check_curve()
        # I/O thread 0 serves the listener, the others one link each.
        context = zmq.Context(io_threads=len(self._nodes))
        poller = zmq.Poller()
        try:
            listener = ZmqListener(context, poller, self._nodes[self._own], self._curve)
            links = self._connect(context, poller)
        except zmq.ZMQError as error:
            context.destroy(0)
            raise TransportError(self._explain(error)) from None
        self._ends = (*links, listener)
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poller.register(self._wakeup, zmq.POLLIN)
        self._running = True
        self._thread = start_thread("zmq-transport", self._run, context, listener, links, poller, deliver)

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
        """The link to every other member, in member order, and the own listening address (member ``None``).

        ``refused`` counts on a link what its peer sent and no member sends, handshakes without the pinned key
        among it; on the listening address the connections that were turned away or cut, or came to nothing.
        """
        return tuple(end.status() for end in self._ends)

    def _check_curve(self) -> None:
        peers = set(range(len(self._nodes))) - {self._own}
        if self._curve is not None and set(self._curve.peers) != peers:
            lacking = sorted(peers - set(self._curve.peers))
            surplus = sorted(set(self._curve.peers) - peers)
            wrong = f"no CURVE key for members {lacking}" if lacking else f"CURVE keys for no members {surplus}"
            raise TransportError(f"{wrong}: encrypted links need one for every other member of --nodes")

    def _connect(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller) -> tuple[ZmqLink, ...]:
        peers = [(member, address) for member, address in enumerate(self._nodes) if member != self._own]
        return tuple(
            ZmqLink(
                context,
                poller,
                member,
                address,
                io_thread=number,
                links=len(peers),
                max_bytes=self._max_bytes,
                curve=None if self._curve is None else LinkCurve(self._curve.own, self._curve.peers[member]),
            )
            for number, (member, address) in enumerate(peers, start=1)
        )

    def _explain(self, error: zmq.ZMQError) -> str:
        address = self._nodes[self._own]
        text = f"cannot listen on {address.listening_endpoint}: {zmq.strerror(error.errno or 0)}"
        if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
            text += f"; this host has no such address, give *:{address.port} as this member's own entry"
        return text

    def _run(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        listener: ZmqListener,
        links: tuple[ZmqLink, ...],
        poller: zmq.Poller,
        deliver: Deliver,
    ) -> None:
        def deliver_safely(data: bytes, via: str) -> None:
            try:
                deliver(data, via)
            except Exception:
                # Nothing a peer sends may end this thread, whatever the code above makes of it.
                log.exception("delivery_failed")

        inspected_s = time.monotonic()
        try:
            while self._running:
                ready = dict(poller.poll(INSPECT_MS))
                if self._wakeup in ready:
                    os.eventfd_read(self._wakeup)
                self._publish(listener)
                listener.serve(ready)
                for link in links:
                    link.serve(ready, deliver_safely)
                if time.monotonic() - inspected_s >= INSPECT_MS / 1000:
                    for end in self._ends:
                        end.inspect()
                    inspected_s = time.monotonic()
        finally:
            with self._lock:  # from here on send() refuses, also if this thread failed
                self._running = False
                os.close(self._wakeup)
            self._publish(listener)
            for end in self._ends:
                end.close()
            context.term()

    def _publish(self, listener: ZmqListener) -> None:
        while self._outbox:
            listener.publish(self._outbox.popleft())
