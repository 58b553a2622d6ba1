"""ZeroMQ peers and strangers that mean harm: each bound is reached, and the members go on talking."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
import zmq
from structlog.testing import capture_logs

from tests.unit.zmq_peers import (
    Mesh,
    Peer,
    connect_all,
    greeting,
    is_cut,
    local_nodes,
    publisher_at,
    ready,
    shake_hands,
    subscriber_to,
    until,
)
from transports.nodes import NodeAddress
from transports.zmq import ZmqTransport
from transports.zmq_link import BATCH
from transports.zmq_listener import LOG_BURST, MAX_INBOUND_BYTES

NEVER = 1e-6  # allowance a second that brings nothing back during a test
SUBSCRIBE = b"\x00\x01\x01"  # a message of one byte: to hear everything


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    mesh = Mesh()
    yield mesh
    mesh.close()


def talk(first: Peer, second: Peer) -> None:
    first.hears(second, b"undisturbed")
    second.hears(first, b"undisturbed")


# A member that says too much


def flood_until_it_waits(receiver: Peer, liar: zmq.Socket[bytes], data: bytes) -> int:
    """Send until nothing more is taken; how many messages were."""
    link = receiver.link(1)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 1.0 or not link.received:
        for _ in range(20):
            liar.send(data)
        time.sleep(0.002)
        if receiver.link(1).received != link.received:
            link, quiet_since = receiver.link(1), time.monotonic()
    return link.received


def test_a_flood_of_messages_is_read_at_its_rate_and_nobody_else_waits(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.rates.MESSAGE_BURST", 200)
    monkeypatch.setattr("transports.rates.MESSAGES_PER_S", NEVER)
    nodes = local_nodes(3)
    with capture_logs() as lines:
        first, third = mesh(nodes, [0, 2])
        with publisher_at(nodes[1]) as liar:
            assert 200 < flood_until_it_waits(first, liar, b"garbage") <= 200 + BATCH
            talk(first, third)
            assert first.link(1).connected
    assert [line["peer"] for line in lines if line["event"] == "link_slowed"].count(1) >= 1


def test_a_flood_of_bytes_is_read_at_its_rate(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.rates.BYTE_BURST", 5_000_000)
    monkeypatch.setattr("transports.rates.BYTES_PER_S", NEVER)
    nodes = local_nodes(3)
    first, third = mesh(nodes, [0, 2])
    with publisher_at(nodes[1]) as liar:
        assert 50 < flood_until_it_waits(first, liar, bytes(100_000)) <= 50 + BATCH
        talk(first, third)


def test_what_takes_long_to_judge_is_read_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.rates.CPU_BURST_S", 0.05)
    monkeypatch.setattr("transports.rates.CPU_SHARE", NEVER)
    nodes = local_nodes(2)
    heard: list[bytes] = []

    def judge(data: bytes, _via: str) -> None:
        heard.append(data)
        started_ns = time.thread_time_ns()
        while time.thread_time_ns() - started_ns < 5_000_000:
            pass

    transport = ZmqTransport(nodes, 0)
    transport.start(judge)
    try:
        with publisher_at(nodes[1]) as liar:

            def slowed() -> bool:
                liar.send(b"garbage")
                time.sleep(0.001)
                return len(heard) >= 9

            until(slowed, "the burst is used up")
            for _ in range(100):
                liar.send(b"garbage")
                time.sleep(0.005)
            assert len(heard) <= 12
    finally:
        transport.close()


def test_what_had_to_wait_is_read_later_and_in_order(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.rates.MESSAGE_BURST", 10)
    monkeypatch.setattr("transports.rates.MESSAGES_PER_S", 400)
    sender, receiver = mesh(local_nodes(2))
    connect_all([sender, receiver])
    messages = [b"%d" % number for number in range(250)]
    for data in messages:
        sender.transport.send(data)
    until(lambda: receiver.received[-1:] == messages[-1:], "the last message arrives")
    assert receiver.received[-len(messages) :] == messages


# A member that never comes to an end


@contextlib.contextmanager
def member_by_hand(address: NodeAddress) -> Iterator[socket.socket]:
    """The connection of somebody who waits for the first message of a member."""
    with socket.create_server((address.host, address.port)) as server:
        connection, _ = server.accept()
        with connection:
            shake_hands(connection, b"PUB")
            yield connection


@pytest.mark.parametrize(
    "frames",
    [b"\x01\x00" * 1000, b"\x01\xff" + bytes(255), b"\x03" + struct.pack(">Q", 90_000) + bytes(90_000)],
    ids=["empty", "short", "long"],
)
def test_a_message_whose_frames_never_end_is_cut_and_counted(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, frames: bytes
) -> None:
    monkeypatch.setattr("transports.zmq_link.BUFFERED_BYTES", 300_000)
    nodes = local_nodes(3)
    first, third = mesh(nodes, [0, 2], max_bytes=100_000)
    with capture_logs() as lines, member_by_hand(nodes[1]) as liar:
        with contextlib.suppress(OSError):
            for _ in itertools.count():
                liar.sendall(frames * (1 + 10_000 // len(frames)))
        # Both members connect to the liar; it talks to the one that came first.
        until(lambda: first.link(1).refused + third.link(1).refused == 1, "it is counted")
        talk(first, third)
    assert "it sends a message that never ends" in {line.get("cause") for line in lines}
    assert first.received.count(b"") + third.received.count(b"") == 0


def test_a_large_message_over_a_slow_line_is_not_taken_for_one_that_never_ends(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    (first,) = mesh(nodes, [0], max_bytes=1_000_000)
    data = random.Random(7).randbytes(1_000_000)
    with member_by_hand(nodes[1]) as slow:
        slow.sendall(b"\x00\x05hello" + b"\x02" + struct.pack(">Q", len(data)))
        for start in range(0, len(data), 50_000):
            slow.sendall(data[start : start + 50_000])
            time.sleep(0.03)
        until(lambda: data in first.received, "it arrives")
    assert first.link(1).refused == 0


def test_a_peer_that_comes_and_goes_does_not_fill_the_log(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.zmq_link.LOG_BURST", 5)
    nodes = local_nodes(2)
    with capture_logs() as lines, socket.create_server((nodes[1].host, nodes[1].port)) as server:
        mesh(nodes, [0])
        for _ in range(20):
            connection, _ = server.accept()
            with connection:
                shake_hands(connection, b"PUB")
                time.sleep(0.01)
    assert 2 <= len(lines) <= 5 + 4


# Strangers at the port


def connection_to(address: NodeAddress, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection((address.host, address.port))
    connection.sendall(data)
    return connection


def subscribed_to(address: NodeAddress) -> socket.socket:
    """The connection of a subscriber to everything."""
    connection = connection_to(address)
    shake_hands(connection, b"SUB")
    connection.sendall(SUBSCRIBE)
    return connection


def flood_of_subscriptions() -> bytes:
    rng = random.Random(8)
    return b"".join(b"\x00\x20\x01" + rng.randbytes(31) for _ in range(1000))


SUBSCRIBER_FLOODS = {
    "subscriptions": flood_of_subscriptions(),
    "repeated": SUBSCRIBE * 5000,
    "endless": b"\x01\x00" * 5000,
    "messages": b"\x00\x05hello" * 5000,
    "commands": b"\x04\x05\x04PING" * 5000,
}


@pytest.mark.parametrize("flood", SUBSCRIBER_FLOODS.values(), ids=SUBSCRIBER_FLOODS)
def test_a_subscriber_that_talks_is_cut_and_counted(mesh: Mesh, flood: bytes) -> None:
    assert len(flood) > MAX_INBOUND_BYTES
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    with capture_logs() as lines, subscribed_to(nodes[0]) as talker:
        with contextlib.suppress(OSError):
            talker.sendall(flood)
        until(lambda: is_cut(talker), "it is cut")
        until(lambda: peers[0].link(None).refused == 1, "it is counted")
    assert [line["cause"] for line in lines] == ["sent more than a subscriber has to say"]
    talk(*peers)
    assert peers[1].link(0).connected


@pytest.mark.parametrize(
    "handshake", [b"", greeting(), greeting() + ready(b"SUB")], ids=["none", "half", "no-topic"]
)
def test_a_connection_that_never_becomes_a_subscriber_is_cut_and_counted(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, handshake: bytes
) -> None:
    monkeypatch.setattr("transports.zmq_listener.SUBSCRIBE_TIMEOUT_S", 0.3)
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    with capture_logs() as lines, connection_to(nodes[0], handshake) as idle:
        until(lambda: is_cut(idle), "it is cut")
        until(lambda: peers[0].link(None).refused == 1, "it is counted")
    assert [line["cause"] for line in lines] == ["did not subscribe"]
    talk(*peers)


def test_a_handshake_has_a_time_limit(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.zmq_link.HANDSHAKE_TIMEOUT_MS", 300)
    nodes = local_nodes(2)
    with capture_logs() as lines:
        (first,) = mesh(nodes, [0])
        with connection_to(nodes[0], greeting()[:20]) as idle:
            until(lambda: is_cut(idle), "it is cut")
        until(lambda: first.link(None).refused == 1, "it is counted")
    assert [line["cause"] for line in lines if line["event"] == "connection_refused"] == ["no handshake in time"]


@pytest.mark.parametrize(
    "subscriber",
    [b"\x01\x00\x02\x00\x01", b"\xff" + bytes(7) + b"\x01\x7f\x01\x02\x00\x00" + SUBSCRIBE],
    ids=["zmtp-1", "zmtp-2"],
)
def test_a_subscriber_of_an_old_protocol_is_cut_in_the_end(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, subscriber: bytes
) -> None:
    monkeypatch.setattr("transports.zmq_listener.SUBSCRIBE_TIMEOUT_S", 0.3)
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    with connection_to(nodes[0], subscriber) as old:
        until(lambda: is_cut(old), "it is cut")
    talk(*peers)


def test_half_open_connections_are_bounded_and_keep_no_member_out(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.zmq_listener.MAX_CONNECTIONS", 10)
    nodes = local_nodes(3)
    peers = mesh(nodes, [0, 2])
    until(lambda: peers[0].link(2).connected and peers[1].link(0).connected, "two members are connected")
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connection_to(nodes[0])) for _ in range(50)]
        until(lambda: sum(not is_cut(each) for each in crowd) <= 10, "most are cut")
        (late,) = mesh(nodes, [1])
        late.hears(peers[0], b"there you are")
        talk(*peers)
        assert peers[0].link(None).refused >= 40


def test_a_crowd_of_subscribers_is_bounded_and_pushes_no_member_out(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.zmq_listener.MAX_CONNECTIONS", 10)
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    up_since = peers[1].link(0).since_ms
    crowd: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            with contextlib.suppress(ConnectionError):  # turned away before it could subscribe
                crowd.append(stack.enter_context(subscribed_to(nodes[0])))
        assert crowd
        until(lambda: sum(not is_cut(each) for each in crowd) < 10, "most are cut")
        talk(*peers)
    assert (peers[1].link(0).connected, peers[1].link(0).since_ms) == (True, up_since)


def test_a_subscriber_that_does_not_read_holds_up_nobody(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    sender, receiver = mesh(nodes)
    connect_all([sender, receiver])
    with subscribed_to(nodes[0]):
        for number in range(40):
            data = b"%d" % number * 500_000
            sender.transport.send(data)
            until(lambda data=data: data in receiver.received, "the member hears it")  # type: ignore[misc]


def test_refusals_are_logged_once_for_each_host_and_cause_and_never_fill_the_log(mesh: Mesh) -> None:
    nodes = local_nodes(1)
    with capture_logs() as lines:
        (alone,) = mesh(nodes)
        for _ in range(20):
            connection_to(nodes[0], b"GET / HTTP/1.1\r\n\r\n" * 10).close()
        until(lambda: alone.link(None).refused == 20, "all are counted")
        assert len(lines) <= 4, "by host, if it was there long enough to be known, and by what libzmq saw"
        listener = alone.transport._ends[-1]
        for number in range(1000):
            listener._count(f"192.0.2.{number}", "somewhere", "a cause")  # type: ignore[union-attr]
    assert len(lines) <= LOG_BURST + 2


def test_connections_that_come_and_go_leave_nothing_behind(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    listener = peers[0].transport._ends[-1]

    def come_and_go() -> None:
        for _ in range(100):
            connection_to(nodes[0], greeting()).close()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with subscriber_to(nodes[0]):
        until(lambda: len(listener._connections) == 2, "a member and a guest are left")  # type: ignore[union-attr]
    until(lambda: len(listener._connections) == 1, "the member is left")  # type: ignore[union-attr]
    talk(*peers)
