"""The receiving end of one member's messages over ZeroMQ. Belongs to zmq.py and lives on its thread."""

from __future__ import annotations

import time
from collections.abc import Container

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from transports.base import Deliver, LinkStatus
from transports.nodes import NodeAddress

RECEIVE_HIGH_WATER = 256  # messages; beyond it the kernels and then the peer keep them, and the peer drops
BATCH = 64  # messages taken from one member before the others have their turn
RECONNECT_MS = 50  # doubled at each failure, up to
RECONNECT_MAX_MS = 2_000
CONNECT_TIMEOUT_MS = 2_000  # instead of the kernel's two minutes
HANDSHAKE_TIMEOUT_MS = 5_000
# A link that is down reports an attempt at least every RECONNECT_MAX_MS + CONNECT_TIMEOUT_MS. Longer silence
# means that libzmq has given it up for good, as it does after a frame that breaks ZMTP or exceeds MAXMSGSIZE.
GIVEN_UP_MS = 6_000
# An unplugged peer is noticed after 3 + 3 * 2 seconds. The kernel probes it rather than ZMTP heartbeats: those
# count only whole messages and would cut a slow link again and again in the middle of a large block.
KEEPALIVE_IDLE_S = 3
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_PROBES = 3

_UP = zmq.Event.HANDSHAKE_SUCCEEDED
_DOWN = (zmq.Event.DISCONNECTED, zmq.Event.CLOSED)
_TRYING = (zmq.Event.CONNECTED, zmq.Event.CONNECT_DELAYED, zmq.Event.CONNECT_RETRIED)

log = structlog.get_logger(__name__)


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Have dead connections noticed, and connections of what does not speak ZMTP closed."""
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl = KEEPALIVE_INTERVAL_S
    socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
    socket.handshake_ivl = HANDSHAKE_TIMEOUT_MS


class ZmqLink:
    """A SUB socket connected to one member, and a monitor that tells whether the connection stands.

    ``io_thread`` is the number of the context's I/O thread that serves it. Each link has its own, because
    libzmq resolves host names there: a name server that does not answer must not hold up other members.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        member: int,
        address: NodeAddress,
        *,
        io_thread: int,
        max_bytes: int,
    ) -> None:
        self._context = context
        self._poller = poller
        self._member = member
        self._address = address
        self._io_thread = io_thread
        self._max_bytes = max_bytes
        self._connected_since = (False, time.time_ns() // 1_000_000)
        self._received = 0
        self._refused = 0
        self._open()

    def status(self) -> LinkStatus:
        """The link's present state; the only method for other threads."""
        connected, since_ms = self._connected_since
        return LinkStatus(self._member, self._address.endpoint, connected, since_ms, self._received, self._refused)

    def serve(self, ready: Container[object], deliver: Deliver) -> None:
        """Take what the poller found ready, and begin anew if libzmq has given up."""
        if self._monitor in ready:
            self._follow()
        if self._socket in ready:
            self._receive(deliver)
        connected, _ = self._connected_since
        if not connected and time.monotonic() - self._last_event > GIVEN_UP_MS / 1000:
            self.close()
            self._open()

    def close(self) -> None:
        """Close the sockets; what was not received is lost."""
        self._poller.unregister(self._socket)
        self._poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._mark(connected=False)

    def _open(self) -> None:
        socket = self._context.socket(zmq.SUB)
        socket.affinity = 1 << self._io_thread
        socket.ipv6 = self._address.is_ipv6
        socket.linger = 0
        socket.rcvhwm = RECEIVE_HIGH_WATER
        socket.maxmsgsize = self._max_bytes
        socket.reconnect_ivl = RECONNECT_MS
        socket.reconnect_ivl_max = RECONNECT_MAX_MS
        socket.connect_timeout = CONNECT_TIMEOUT_MS
        keep_alive(socket)
        socket.subscribe(b"")
        self._socket = socket
        self._monitor = socket.get_monitor_socket()
        self._last_event = time.monotonic()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.connect(self._address.endpoint)

    def _follow(self) -> None:
        event = recv_monitor_message(self._monitor, zmq.NOBLOCK)["event"]
        if event in _TRYING or event in _DOWN or event == _UP:
            self._last_event = time.monotonic()
        if event == _UP:
            self._mark(connected=True)
        elif event in _DOWN:
            self._mark(connected=False)

    def _receive(self, deliver: Deliver) -> None:
        for _ in range(BATCH):
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if self._socket.rcvmore:  # no member sends messages of several frames
                while self._socket.rcvmore:
                    self._socket.recv(zmq.NOBLOCK)
                self._refused += 1
                continue
            self._received += 1
            deliver(frame)

    def _mark(self, *, connected: bool) -> None:
        if connected != self._connected_since[0]:
            self._connected_since = (connected, time.time_ns() // 1_000_000)
            log.info("link up" if connected else "link down", member=self._member, address=self._address.endpoint)
