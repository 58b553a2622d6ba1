"""Listens to a federation's members over ZeroMQ without being one: publishes nothing and opens no port.

With CURVE keys it must be a member that listens, for only pinned keys are let in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import structlog
import zmq

from transports.base import Deliver, LinkStatus
from transports.curve import CurveKeys
from transports.limits import MAX_MESSAGE_BYTES
from transports.nodes import NodeAddress
from transports.zmq_link import LinkCurve, ZmqLink

INSPECT_MS = 100

log = structlog.get_logger(__name__)


class ZmqObserver:
    """Links to ``nodes``, members by number; ``curve`` has the own key pair and the pinned key of each."""

    def __init__(self, nodes: Mapping[int, NodeAddress], curve: CurveKeys | None = None) -> None:
        self._nodes = dict(nodes)
        self._curve = curve
        self._links: tuple[ZmqLink, ...] = ()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver) -> None:
        """Connect to all; ``deliver`` gets each message on the observer's own thread and must not block."""
        context = zmq.Context(io_threads=len(self._nodes) + 1)
        poller = zmq.Poller()
        self._links = tuple(
            ZmqLink(
                context,
                poller,
                member,
                address,
                io_thread=number,
                links=len(self._nodes),
                max_bytes=MAX_MESSAGE_BYTES,
                curve=None if self._curve is None else LinkCurve(self._curve.own, self._curve.peers[member]),
            )
            for number, (member, address) in enumerate(self._nodes.items())
        )
        self._thread = threading.Thread(
            target=self._run, args=(context, poller, deliver), name="zmq-observer", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop. Not to be called from ``deliver``."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def status(self) -> tuple[LinkStatus, ...]:
        """The link to every member; callable from any thread."""
        return tuple(link.status() for link in self._links)

    def _run(self, context: zmq.Context[zmq.Socket[bytes]], poller: zmq.Poller, deliver: Deliver) -> None:
        def deliver_safely(data: bytes, way: str) -> None:
            try:
                deliver(data, way)
            except Exception:
                # Nothing a member sends may end this thread, whatever the code above makes of it.
                log.exception("delivery_failed")

        inspected_s = time.monotonic()
        try:
            while not self._stop.is_set():
                ready = dict(poller.poll(INSPECT_MS))
                for link in self._links:
                    link.serve(ready, deliver_safely)
                if time.monotonic() - inspected_s >= INSPECT_MS / 1000:
                    for link in self._links:
                        link.inspect()
                    inspected_s = time.monotonic()
        finally:
            for link in self._links:
                link.close()
            context.term()
