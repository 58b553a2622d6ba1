"""Members of a ZeroMQ mesh on the loopback interface, and others who reach its ports."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zmq

from fedsm.demo.ports import free_ports
from transports.base import LinkStatus
from transports.curve import CurveKeys, CurvePair
from transports.nodes import NodeAddress
from transports.zmq import ZmqTransport


def local_nodes(count: int) -> list[NodeAddress]:
    return [NodeAddress("127.0.0.1", port) for port in free_ports(count)]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must come; the limit only ends a failed test."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)


def keys_of(pairs: Sequence[CurvePair], own: int) -> CurveKeys:
    """The keys of member ``own`` where ``pairs`` are those of all members."""
    return CurveKeys(pairs[own], {member: pair.public for member, pair in enumerate(pairs) if member != own})


class Peer:
    """A transport and what it delivered."""

    def __init__(self, nodes: Sequence[NodeAddress], own: int, **options: Any) -> None:
        self.received: list[bytes] = []
        self.ways: set[str] = set()  # by which they came
        self.own = own
        self.transport = ZmqTransport(nodes, own, **options)
        self.transport.start(self._take)

    def _take(self, data: bytes, via: str) -> None:
        self.ways.add(via)
        self.received.append(data)

    def link(self, member: int | None) -> LinkStatus:
        """The link to a member; None for the own listening address."""
        return next(link for link in self.transport.status() if link.member == member)

    def is_up(self) -> bool:
        """Whether it is connected to all, and somebody to it."""
        return all(link.connected for link in self.transport.status())

    def hears(self, sender: Peer, data: bytes) -> None:
        """Repeat a message until it arrives, as the core does."""

        def arrived() -> bool:
            if data not in self.received:
                sender.transport.send(data)
                time.sleep(0.02)
            return data in self.received

        until(arrived, f"{data!r} arrives")


class Mesh:
    """Makes peers and closes them in the end."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    def __call__(
        self, nodes: Sequence[NodeAddress], members: Sequence[int] | None = None, **options: Any
    ) -> list[Peer]:
        """Start some members, or all of them."""
        return [self.add(nodes, own, **options) for own in (range(len(nodes)) if members is None else members)]

    def encrypted(self, nodes: Sequence[NodeAddress], pairs: Sequence[CurvePair]) -> list[Peer]:
        """Start all members, with CURVE keys."""
        return [self.add(nodes, own, curve=keys_of(pairs, own)) for own in range(len(nodes))]

    def add(self, nodes: Sequence[NodeAddress], own: int, **options: Any) -> Peer:
        peer = Peer(nodes, own, **options)
        self.peers.append(peer)
        return peer

    def close(self) -> None:
        for peer in self.peers:
            peer.transport.close()


def connect_all(peers: Sequence[Peer]) -> None:
    until(lambda: all(peer.is_up() for peer in peers), "the mesh is up")
    for sender in peers:
        for peer in peers:
            if peer is not sender:
                peer.hears(sender, b"hello from %d" % sender.own)


# Others, by ZeroMQ and by hand


@contextlib.contextmanager
def zmq_socket(kind: int, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A ZeroMQ socket of somebody else, with these options set."""
    context = zmq.Context()
    sock = context.socket(kind)
    sock.linger = 0
    for name, value in options.items():
        setattr(sock, name, value)
    try:
        yield sock
    finally:
        context.destroy(0)


@contextlib.contextmanager
def publisher_at(address: NodeAddress, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A ZeroMQ publisher in a member's place that says what it likes."""

    def bound() -> bool:
        try:
            sock.bind(address.endpoint)
        except zmq.ZMQError:
            return False
        return True

    with zmq_socket(zmq.PUB, **options) as sock:
        until(bound, "the port is free")
        yield sock


@contextlib.contextmanager
def subscriber_to(address: NodeAddress, **options: Any) -> Iterator[zmq.Socket[bytes]]:
    """A ZeroMQ subscriber that wants to hear everything from a member."""
    with zmq_socket(zmq.SUB, **options) as sock:
        sock.subscribe(b"")
        sock.connect(address.endpoint)
        yield sock


def curve_options(own: CurvePair, server: bytes | None = None) -> dict[str, Any]:
    """Socket options of a CURVE peer: one that listens, or one that expects ``server`` to hold this key."""
    options: dict[str, Any] = {"curve_publickey": own.public, "curve_secretkey": own.secret}
    return options | ({"curve_server": True} if server is None else {"curve_serverkey": server})


def greeting(mechanism: bytes = b"NULL") -> bytes:
    """The greeting of ZMTP 3.0."""
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\x00") + bytes(32)


def ready(socket_type: bytes) -> bytes:
    """The NULL mechanism's only command: after it messages pass."""
    body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type
    return b"\x04" + bytes([len(body)]) + body


def shake_hands(connection: socket.socket, socket_type: bytes) -> None:
    """Do the handshake of ZMTP 3.0 without a mechanism. The first message may follow only after it.

    ConnectionError when the far end closes before it is done.
    """
    connection.sendall(greeting() + ready(socket_type))
    seen = b""
    while b"READY" not in seen:
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("closed during the handshake")
        seen += data


def is_cut(connection: socket.socket) -> bool:
    """Whether the far end has closed the connection, once all that it sent is read."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
