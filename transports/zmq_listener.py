"""The publishing end of a ZeroMQ member: who may subscribe, and what becomes of everybody else.

Belongs to zmq.py and lives on its thread. A subscriber sends a handshake and one subscription and is silent from
then on. libzmq bounds neither the connections it accepts nor what a peer can pile up in it (subscriptions, a
message whose frames never end), so connections are watched from outside and cut when they leave that pattern.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

import structlog
import zmq
from zmq.utils import z85

from transports.base import LinkStatus
from transports.curve import CurveKeys
from transports.nodes import NodeAddress
from transports.rates import Allowance
from transports.recent import Recent
from transports.tcp import Wire, plain_host
from transports.zmq_link import keep_alive, next_event

SEND_HIGH_WATER = 256  # messages waiting for one peer; all peers share the bytes of each
UNACKNOWLEDGED_MS = 15_000  # until a peer that takes no more data counts as gone
FLUSH_MS = 250
MAX_CONNECTIONS = 256  # far more than a federation has members, far fewer than a process has descriptors
MAX_HANDSHAKE_FRAME_BYTES = 512  # the longest of an honest one is CURVE's INITIATE, below 400
MAX_INBOUND_BYTES = 4096  # from one subscriber, ever; an honest one sends about 700 with CURVE
SUBSCRIPTION_HIGH_WATER = 16  # subscriptions of one peer that libzmq takes in at a time
SUBSCRIBE_TIMEOUT_S = 10.0
EVENT_BATCH = 256
LOG_AGAIN_S = 60.0  # until the same refusal of the same host is logged again
LOG_MEMORY = 256
LOG_LINES_PER_S, LOG_BURST = 0.2, 20  # for all hosts together

_ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_ZAP_DOMAIN = b"fedsm"
_UNEXPLAINED = "not a member's ZeroMQ"
_REFUSALS: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "no CURVE on one of the two sides",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "encrypted for another key than ours",
}
_EVENTS = (
    zmq.Event.ACCEPTED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
)

log = structlog.get_logger(__name__)


@dataclass
class _Connection:
    wire: Wire
    holder: str  # whose share of MAX_CONNECTIONS it takes: a host, or a member once its key has proved it
    since_s: float
    subscribed: bool = False
    refused: bool = False  # and counted
    gone: bool = False  # seen closed


class ZmqListener:
    """An XPUB socket bound to the own address. ``curve`` makes it encrypt, and admit only pinned keys.

    Raises zmq.ZMQError when it cannot be bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        poller: zmq.Poller,
        address: NodeAddress,
        curve: CurveKeys | None,
    ) -> None:
        self._poller = poller
        self._endpoint = address.listening_endpoint
        self._members = {} if curve is None else {key: member for member, key in curve.peers.items()}
        self._connections: dict[int, _Connection] = {}  # by descriptor, the oldest first
        self._cause = _UNEXPLAINED  # why the connection failed whose end is reported next
        self._refused = 0
        self._heard_since = (False, time.time_ns() // 1_000_000)
        self._logged: Recent[tuple[str, str], float] = Recent(LOG_MEMORY)
        self._log_lines = Allowance(LOG_LINES_PER_S, LOG_BURST, time.monotonic())
        # Before the socket is bound: without somebody to ask, libzmq turns every CURVE peer away.
        self._zap = context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind(_ZAP_ENDPOINT)
        self._socket = _publisher(context, address, curve)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)
        self._socket.bind(self._endpoint)
        for end in (self._zap, self._socket, self._monitor):
            poller.register(end, zmq.POLLIN)

    def publish(self, data: bytes) -> None:
        """Send to all that have subscribed, without waiting."""
        self._socket.send(data, zmq.NOBLOCK, copy=False)

    def status(self) -> LinkStatus:
        """Whether anybody subscribes, and how many connections were refused; for other threads too."""
        connected, since_ms = self._heard_since
        return LinkStatus(None, self._endpoint, connected, since_ms, received=0, refused=self._refused)

    def serve(self, ready: Container[object]) -> None:
        """Take what the poller found ready."""
        if self._monitor in ready:
            self._follow()
        if self._zap in ready:
            self._follow()  # the connection that asks must be known
            self._authenticate()
        if self._socket in ready:
            self._take_subscriptions()

    def inspect(self) -> None:
        """Cut connections that do what no subscriber does. To be called every fraction of a second."""
        now_s = time.monotonic()
        for descriptor, connection in list(self._connections.items()):
            received = connection.wire.received()
            if received is None:
                if connection.gone:  # and its end went unreported
                    del self._connections[descriptor]
                connection.gone = True
            elif received > MAX_INBOUND_BYTES:
                self._cut(connection, "sent more than a subscriber has to say")
            elif not connection.subscribed and now_s - connection.since_s > SUBSCRIBE_TIMEOUT_S:
                self._cut(connection, "did not subscribe")
        self._note_subscribers()

    def close(self) -> None:
        """Stop listening; what was published has FLUSH_MS to leave."""
        for end in (self._zap, self._socket, self._monitor):
            self._poller.unregister(end)
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()
        self._zap.close(0)
        self._connections.clear()
        self._note_subscribers()

    def _follow(self) -> None:
        for _ in range(EVENT_BATCH):
            event = next_event(self._monitor)
            if event is None:
                return
            self._take_event(*event)

    def _take_event(self, kind: int, value: int) -> None:
        """``value`` is the connection's descriptor, or for a failure its code."""
        if kind == zmq.Event.ACCEPTED:
            self._accept(value)
        elif kind == zmq.Event.DISCONNECTED:
            self._disconnect(value)
        elif kind == zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
            self._cause = _REFUSALS.get(value, "broke the protocol in the handshake")
        elif kind == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
            self._cause = "no handshake in time" if value == errno.EAGAIN else "hung up in the handshake"

    def _accept(self, descriptor: int) -> None:
        wire = Wire(descriptor)
        self._connections.pop(descriptor, None)
        self._connections[descriptor] = _Connection(wire, wire.host, time.monotonic())
        if len(self._connections) > MAX_CONNECTIONS:
            self._make_room()

    def _make_room(self) -> None:
        """Whoever holds most connections loses one: the longest idle, or else the latest."""
        crowd = Counter(c.holder for c in self._connections.values() if not c.refused)
        for holder, _ in crowd.most_common(1):
            own = [c for c in self._connections.values() if c.holder == holder and not c.refused]
            self._cut(next((c for c in own if not c.subscribed), own[-1]), "too many connections")

    def _disconnect(self, descriptor: int) -> None:
        self._take_subscriptions()  # those of this connection are there by now
        cause, self._cause = self._cause, _UNEXPLAINED
        connection = self._connections.pop(descriptor, None)
        if connection is not None and not connection.subscribed:
            self._refuse(connection, cause)

    def _take_subscriptions(self) -> None:
        """Note who has subscribed; libzmq itself has carried the subscription out."""
        for _ in range(EVENT_BATCH):
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            if frame.bytes == b"\x01":
                # Old ZMTP versions have no properties; nobody here speaks them.
                with contextlib.suppress(zmq.ZMQError):
                    self._subscribe(int(frame.get("__fd")), str(frame.get("User-Id")) if self._members else None)
        self._note_subscribers()

    def _subscribe(self, descriptor: int, member: str | None) -> None:
        connection = self._connections.get(descriptor)
        if connection is not None:
            connection.subscribed = True
            if member is not None:
                connection.holder = f"member {member}"

    def _authenticate(self) -> None:
        """Answer libzmq's question whether the holder of a key may connect (ZAP, ZeroMQ RFC 27)."""
        _, request, _, address, _, _, key = self._zap.recv_multipart(zmq.NOBLOCK)
        member = self._members.get(key)
        status, user = (b"400", b"") if member is None else (b"200", b"%d" % member)
        self._zap.send_multipart([b"1.0", request, status, b"", user, b""], zmq.NOBLOCK)
        if member is None:
            self._refuse_key(key, plain_host(address.decode()))

    def _refuse_key(self, key: bytes, host: str) -> None:
        # Which of a host's connections it was is not told, and makes no difference.
        asking = (c for c in self._connections.values() if c.holder == host and not (c.subscribed or c.refused))
        connection = next(asking, None)
        cause = f"key {z85.encode(key).decode()} is not pinned"
        if connection is None:
            self._count(host, host, cause)
        else:
            self._refuse(connection, cause)

    def _cut(self, connection: _Connection, cause: str) -> None:
        self._refuse(connection, cause)
        connection.wire.cut()

    def _refuse(self, connection: _Connection, cause: str) -> None:
        if not connection.refused:
            connection.refused = True
            self._count(connection.holder, connection.wire.address, cause)

    def _count(self, holder: str, address: str, cause: str) -> None:
        """Count a refusal, and log it unless that was done lately."""
        self._refused += 1
        now_s = time.monotonic()
        logged_s = self._logged.get((holder, cause))
        if (logged_s is None or now_s - logged_s > LOG_AGAIN_S) and self._log_lines.take(now_s):
            self._logged.put((holder, cause), now_s)
            log.warning("connection_refused", address=address, cause=cause, refused=self._refused)

    def _note_subscribers(self) -> None:
        connected = any(c.subscribed for c in self._connections.values())
        if connected != self._heard_since[0]:
            self._heard_since = (connected, time.time_ns() // 1_000_000)


def _publisher(
    context: zmq.Context[zmq.Socket[bytes]], address: NodeAddress, curve: CurveKeys | None
) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.XPUB)  # PUB that tells us of subscriptions, each with its connection
    socket.xpub_verbose = True
    socket.affinity = 1
    socket.ipv6 = address.is_ipv6
    socket.linger = FLUSH_MS
    socket.sndhwm = SEND_HIGH_WATER
    socket.rcvhwm = SUBSCRIPTION_HIGH_WATER
    socket.maxmsgsize = MAX_HANDSHAKE_FRAME_BYTES
    socket.tcp_maxrt = UNACKNOWLEDGED_MS
    keep_alive(socket)
    if curve is not None:
        socket.curve_server = True
        socket.curve_secretkey = curve.own.secret
        socket.curve_publickey = curve.own.public
        socket.zap_domain = _ZAP_DOMAIN
        socket.zap_enforce_domain = True
    return socket
