"""The receiving end of one member's messages over ZeroMQ. Belongs to zmq.py and lives on its thread.

The member at the other end may be hostile. What it costs is charged to its link alone: in debt, the link is not
read for a while, libzmq's queue fills, and TCP makes the peer wait. One that breaks the rules is cut and tried
again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import structlog
import zmq
from zmq.utils.monitor import recv_monitor_message

from transports.base import Deliver, LinkStatus
from transports.curve import CurvePair
from transports.nodes import NodeAddress
from transports.rates import Allowance, SenderRates
from transports.tcp import Wire

RECEIVE_HIGH_WATER = 8  # messages, of which each may be a block; beyond it the kernels and then the peer keep them
BATCH = 64  # messages taken from one member before the others have their turn, and
SLICE_S = 0.005  # how long that may take
SLOW_LOG_S = 60.0  # until a link that goes on overdrawing its allowance is logged again
# What may be under way between the kernel and us besides one unfinished message: buffers of kernel and libzmq.
BUFFERED_BYTES = 8 * 1024 * 1024
CURVE_OVERHEAD = 64  # bytes; more than encryption adds to a frame
RECONNECT_MS = 50  # doubled at each failure, up to
RECONNECT_MAX_MS = 2_000
CONNECT_TIMEOUT_MS = 2_000  # instead of the kernel's two minutes
HANDSHAKE_TIMEOUT_MS = 5_000
RETRY_S = 1.0  # until a peer is tried again with which no handshake came about
PENALTY_S = 10.0  # until a peer is tried again that broke the rules after it
LOG_LINES_PER_S, LOG_BURST = 0.1, 20  # of one link
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
_FAILED = (
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL,
    zmq.Event.HANDSHAKE_FAILED_AUTH,
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL,
)

log = structlog.get_logger(__name__)


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Have dead connections noticed, and connections of what does not speak ZMTP closed."""
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = KEEPALIVE_IDLE_S
    socket.tcp_keepalive_intvl = KEEPALIVE_INTERVAL_S
    socket.tcp_keepalive_cnt = KEEPALIVE_PROBES
    socket.handshake_ivl = HANDSHAKE_TIMEOUT_MS


def next_event(monitor: zmq.Socket[bytes]) -> tuple[int, int] | None:
    """The kind and the value of the next event of a socket's monitor, if there is one."""
    try:
        event: Any = recv_monitor_message(monitor, zmq.NOBLOCK)
    except zmq.Again:
        return None
    return event["event"], event["value"]


@dataclass(frozen=True)
class LinkCurve:
    """What one encrypted link needs: our own key pair and the only key that its far end may have (32 bytes)."""

    own: CurvePair
    peer: bytes


class ZmqLink:
    """A SUB socket connected to one member, and a monitor that tells whether the connection stands.

    ``io_thread`` is the number of the context's I/O thread that serves it. Each link has its own, because
    libzmq resolves host names there: a name server that does not answer must not hold up other members.
    ``links`` is how many there are in all.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        member: int,
        address: NodeAddress,
        *,
        io_thread: int,
        links: int,
        max_bytes: int,
        curve: LinkCurve | None = None,
    ) -> None:
        self._context = context
        self._poller = poller
        self._member = member
        self._address = address
        self._io_thread = io_thread
        self._max_bytes = max_bytes
        self._curve = curve
        self._connected_since = (False, time.time_ns() // 1_000_000)
        self._received = 0
        self._refused = 0
        self._round_trip_ms: float | None = None
        self._said: set[str] = set()  # why the link was refused, since it was up last
        self._log_lines = Allowance(LOG_LINES_PER_S, LOG_BURST, time.monotonic())
        self._slow_logged_s = -SLOW_LOG_S
        self._rates = SenderRates(links, time.monotonic())
        self._paused = False
        self._last_event_s = self._retry_s = self._resume_s = 0.0
        self._open()

    def status(self) -> LinkStatus:
        """The link's present state; the only method for other threads."""
        connected, since_ms = self._connected_since
        return LinkStatus(
            self._member,
            self._address.endpoint,
            connected,
            since_ms,
            self._received,
            self._refused,
            self._round_trip_ms if connected else None,
        )

    def serve(self, ready: Container[object], deliver: Deliver) -> None:
        """Take what the poller found ready, if it is this link's turn."""
        if self._is_open and self._monitor in ready:
            self._follow()
        if self._is_open and self._socket in ready:
            self._receive(deliver)

    def inspect(self) -> None:
        """Do what time brings. To be called every fraction of a second.

        Reads on from a peer that was made to wait, tries one again that was cut or that libzmq has given up, and
        cuts one that sends without ever ending a message: libzmq gathers its frames without limit.
        """
        now_s = time.monotonic()
        connected, _ = self._connected_since
        if not self._is_open:
            if now_s >= self._retry_s:
                self._open()
        elif not connected:
            if now_s - self._last_event_s > GIVEN_UP_MS / 1000:
                self._shut()
                self._open()
        elif self._paused:
            if now_s >= self._resume_s:
                self._paused = False
                self._poller.register(self._socket, zmq.POLLIN)
        else:
            self._check_unfinished()

    def close(self) -> None:
        """Close the sockets; what was not received is lost."""
        if self._is_open:
            self._shut()

    def _open(self) -> None:
        socket = self._context.socket(zmq.SUB)
        socket.affinity = 1 << self._io_thread
        socket.ipv6 = self._address.is_ipv6
        socket.linger = 0
        socket.rcvhwm = RECEIVE_HIGH_WATER
        socket.maxmsgsize = self._max_bytes if self._curve is None else self._max_bytes + CURVE_OVERHEAD
        socket.reconnect_ivl = RECONNECT_MS
        socket.reconnect_ivl_max = RECONNECT_MAX_MS
        socket.connect_timeout = CONNECT_TIMEOUT_MS
        keep_alive(socket)
        if self._curve is not None:
            socket.curve_secretkey = self._curve.own.secret
            socket.curve_publickey = self._curve.own.public
            socket.curve_serverkey = self._curve.peer
        socket.subscribe(b"")
        self._socket = socket
        self._monitor = socket.get_monitor_socket()
        self._is_open, self._paused = True, False
        self._last_event_s = time.monotonic()
        self._wire: Wire | None = None
        self._finished = 0  # bytes that had come in when a message was last received
        self._receiving = False  # since the last inspection
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.connect(self._address.endpoint)

    def _shut(self) -> None:
        if not self._paused:
            self._poller.unregister(self._socket)
        self._poller.unregister(self._monitor)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._is_open = False
        self._mark(connected=False)

    def _follow(self) -> None:
        event = next_event(self._monitor)
        if event is None:
            return
        kind, value = event
        if kind in _TRYING or kind in _DOWN or kind == _UP:
            self._last_event_s = time.monotonic()
        if kind == zmq.Event.CONNECTED:
            self._wire, self._finished, self._receiving = Wire(value), 0, False
        elif kind == _UP:
            self._said.clear()
            self._mark(connected=True)
        elif kind in _DOWN:
            self._mark(connected=False)
        elif kind in _FAILED:
            # libzmq would try again at once, or never.
            self._refused += kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            self._give_up(self._explain(kind, value), RETRY_S)

    def _explain(self, kind: int, value: int) -> str:
        if kind == zmq.Event.HANDSHAKE_FAILED_AUTH:
            return "the peer does not know our CURVE key"
        if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return "the peer uses no CURVE" if self._curve is not None else "the peer uses CURVE, we have no keys"
        if value == zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
            return "the peer does not hold the CURVE key that is pinned for it"
        if kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            return "what answers there is no publisher of messages"
        return "the peer ended the handshake: does it speak ZeroMQ, and CURVE with the keys that are pinned?"

    def _give_up(self, cause: str, retry_s: float) -> None:
        """End the connection, try again later, and say why unless that is known."""
        self._shut()
        self._retry_s = time.monotonic() + retry_s
        if cause not in self._said:
            self._said.add(cause)
            self._say(log.warning, "link_refused", cause=cause)

    def _receive(self, deliver: Deliver) -> None:
        """Deliver a batch and charge it. The processor time is this thread's, spent here and above."""
        started_s, started_cpu_ns = time.monotonic(), time.thread_time_ns()
        messages = size = 0
        now_s = started_s
        while messages < BATCH and now_s - started_s < SLICE_S:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            messages, size = messages + 1, size + len(frame)
            if self._socket.rcvmore:
                self._refused += 1
                self._give_up("it sends messages of several frames, which no member does", PENALTY_S)
                return
            if len(frame) > self._max_bytes:
                self._refused += 1
            else:
                self._received += 1
                deliver(frame, self._address.endpoint)
            now_s = time.monotonic()
        self._receiving = self._receiving or messages > 0
        self._rates.spend(messages, size, (time.thread_time_ns() - started_cpu_ns) / 1e9, now_s)
        self._pause_in_debt(now_s)

    def _pause_in_debt(self, now_s: float) -> None:
        wait_s = self._rates.wait_s(now_s)
        if wait_s > 0:
            self._paused, self._resume_s = True, now_s + wait_s
            self._poller.unregister(self._socket)
            if now_s - self._slow_logged_s >= SLOW_LOG_S:
                self._slow_logged_s = now_s
                self._say(log.warning, "link_slowed", cause="it sends more than a member has to say")

    def _check_unfinished(self) -> None:
        received = None if self._wire is None else self._wire.received()
        if self._wire is None or received is None:
            return
        self._round_trip_ms = self._wire.round_trip_ms()
        if self._receiving or self._socket.poll(0):
            self._receiving, self._finished = False, received
        elif received - self._finished > self._max_bytes + BUFFERED_BYTES:
            self._refused += 1
            self._give_up("it sends a message that never ends", PENALTY_S)

    def _mark(self, *, connected: bool) -> None:
        if connected != self._connected_since[0]:
            self._connected_since = (connected, time.time_ns() // 1_000_000)
            self._say(log.info, "link_up" if connected else "link_down")

    def _say(self, write: Callable[..., object], event: str, **fields: str) -> None:
        # A peer that comes and goes all the time must not fill the log.
        if self._log_lines.take(time.monotonic()):
            write(event, peer=self._member, address=self._address.endpoint, **fields)
