"""ZeroMQ between real sockets on the loopback interface: who hears whom, and what cannot stop it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fedsm.demo.ports import free_ports
from tests.unit.zmq_peers import (
    Mesh,
    Peer,
    connect_all,
    greeting,
    local_nodes,
    publisher_at,
    ready,
    until,
)
from transports.base import TransportError
from transports.nodes import NodeAddress, parse_nodes
from transports.zmq import OUTBOX_LIMIT, ZmqTransport
from transports.zmq_listener import ZmqListener


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    mesh = Mesh()
    yield mesh
    mesh.close()


def test_everyone_hears_everyone_else_and_not_itself(mesh: Mesh) -> None:
    peers = mesh(local_nodes(3))
    connect_all(peers)
    for own, peer in enumerate(peers):
        assert set(peer.received) == {b"hello from %d" % other for other in range(3) if other != own}
        *links, listening = peer.transport.status()
        assert [link.member for link in links] == [m for m in range(3) if m != own]
        assert all(link.received > 0 and link.refused == 0 for link in links)
        assert peer.ways == {link.address for link in links}
        assert (listening.member, listening.connected, listening.refused) == (None, True, 0)


def test_messages_of_one_sender_arrive_whole_and_in_order(mesh: Mesh) -> None:
    sender, receiver = mesh(local_nodes(2))
    connect_all([sender, receiver])
    messages = [random.Random(size).randbytes(size) for size in (1, 300, 0, 70_000, 4_000_000)]
    for data in messages:
        sender.transport.send(data)
    until(lambda: receiver.received[-1:] == messages[-1:], "the last message arrives")
    assert receiver.received[-len(messages) :] == messages


def test_send_may_be_called_from_many_threads(mesh: Mesh) -> None:
    sender, receiver = mesh(local_nodes(2))
    connect_all([sender, receiver])
    expected = {b"%d/%d" % (thread, number) for thread in range(4) for number in range(40)}

    def talk(thread: int) -> None:
        for number in range(40):
            sender.transport.send(b"%d/%d" % (thread, number))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: expected <= set(receiver.received), "all messages arrive")


def test_a_peer_that_restarts_is_heard_again_and_hears_again(mesh: Mesh) -> None:
    nodes = local_nodes(3)
    first, second, third = mesh(nodes)
    connect_all([first, second, third])
    up_since = first.link(1).since_ms
    second.transport.close()
    until(lambda: not first.link(1).connected, "the loss is noticed")
    assert first.link(1).since_ms >= up_since
    third.hears(first, b"meanwhile")
    (second,) = mesh(nodes, [1])
    until(lambda: first.link(1).connected, "the return is noticed")
    first.hears(second, b"I am back")
    second.hears(first, b"welcome")


def test_a_peer_that_starts_late_is_found(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    (early,) = mesh(nodes, [0])
    early.transport.send(b"nobody hears this")
    assert not early.link(1).connected
    time.sleep(0.3)  # several refused attempts
    (late,) = mesh(nodes, [1])
    late.hears(early, b"there you are")
    early.hears(late, b"here I am")


def test_names_connect(mesh: Mesh) -> None:
    first, second = free_ports(2)
    connect_all(mesh([NodeAddress("localhost", first), NodeAddress("localhost", second)]))


def test_ipv6_addresses_connect(mesh: Mesh) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6 loopback")
    first, second = free_ports(2)
    connect_all(mesh([NodeAddress("::1", first), NodeAddress("::1", second)]))


def test_a_wildcard_entry_listens_everywhere(mesh: Mesh) -> None:
    first, second = free_ports(2)
    (one,) = mesh(list(parse_nodes(f"*:{first},127.0.0.1:{second}", 0)), [0])
    (two,) = mesh(list(parse_nodes(f"127.0.0.1:{first},0.0.0.0:{second}", 1)), [1])
    connect_all([one, two])


def test_a_federation_of_one_has_nobody_to_talk_to(mesh: Mesh) -> None:
    (alone,) = mesh(local_nodes(1))
    alone.transport.send(b"echo?")
    (listening,) = alone.transport.status()
    assert (listening.member, listening.connected) == (None, False)


# What goes wrong at the start and at the end


def test_a_port_in_use_is_one_line_that_names_it(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    mesh(nodes, [0])
    again = ZmqTransport(nodes, 0)
    with pytest.raises(TransportError, match=f"cannot listen on {nodes[0].endpoint}: Address already in use"):
        again.start(lambda *_: None)
    again.close()


def test_an_address_of_another_host_is_refused_with_the_remedy() -> None:
    nodes = [NodeAddress("192.0.2.1", 1500)]
    with pytest.raises(TransportError, match=r"cannot listen on tcp://192.0.2.1:1500: .*give \*:1500"):
        ZmqTransport(nodes, 0).start(lambda *_: None)


def test_a_transport_is_started_once_and_closed_any_number_of_times() -> None:
    transport = ZmqTransport(local_nodes(2), 0)
    with pytest.raises(TransportError, match="not running"):
        transport.send(b"too early")
    transport.start(lambda *_: None)
    with pytest.raises(TransportError, match="started before"):
        transport.start(lambda *_: None)
    transport.close()
    transport.close()
    with pytest.raises(TransportError, match="not running"):
        transport.send(b"too late")
    assert not transport.status()[0].connected


def test_what_was_sent_before_closing_still_arrives(mesh: Mesh) -> None:
    sender, receiver = mesh(local_nodes(2))
    connect_all([sender, receiver])
    last_words = [b"%d" % number * 2_000_000 for number in range(8)]  # more than the sockets' buffers hold
    for data in last_words:
        sender.transport.send(data)
    sender.transport.close()
    until(lambda: last_words[-1] in receiver.received, "the last words arrive")
    assert receiver.received[-8:] == last_words


def test_what_waits_for_the_transports_thread_at_closing_still_leaves(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    (receiver,) = mesh(nodes, [1])
    busy, release = threading.Event(), threading.Event()

    def deliver(_data: bytes, _via: str) -> None:
        busy.set()
        release.wait(60)

    sender = ZmqTransport(nodes, 0)
    sender.start(deliver)
    until(lambda: receiver.link(0).connected and sender.status()[0].connected, "both are connected")

    def occupied() -> bool:
        receiver.transport.send(b"keeps the thread busy")
        return busy.wait(0.02)

    until(occupied, "the thread is busy")
    sender.send(b"last words")
    closing = threading.Thread(target=sender.close)
    closing.start()
    until(lambda: not sender._running, "closing began")
    release.set()
    closing.join()
    until(lambda: b"last words" in receiver.received, "the last words arrive")


def test_the_outbox_is_bounded_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = ZmqTransport(local_nodes(2), 0)
    entered, release = threading.Event(), threading.Event()
    transport.start(lambda *_: None)
    try:
        publisher = transport._publish

        def slow(listener: ZmqListener) -> None:
            entered.set()
            release.wait(60)
            publisher(listener)

        monkeypatch.setattr(transport, "_publish", slow)
        transport.send(b"first")
        assert entered.wait(60)
        for number in range(2 * OUTBOX_LIMIT):
            transport.send(b"%d" % number)
        assert len(transport._outbox) == OUTBOX_LIMIT
        assert transport._outbox[-1] == b"%d" % (2 * OUTBOX_LIMIT - 1)
    finally:
        release.set()
        transport.close()


def test_a_message_beyond_the_limit_is_not_sent(mesh: Mesh) -> None:
    first, _ = mesh(local_nodes(2), max_bytes=1000)
    with pytest.raises(TransportError, match="1001 bytes"):
        first.transport.send(bytes(1001))


def test_a_receiver_that_fails_does_not_stop_the_transport() -> None:
    nodes = local_nodes(2)
    heard: list[bytes] = []

    def fragile(data: bytes, _via: str) -> None:
        heard.append(data)
        raise RuntimeError("the code above is broken")

    victim = ZmqTransport(nodes, 0)
    victim.start(fragile)
    sender = Peer(nodes, 1)
    try:
        for data in (b"one", b"two"):

            def arrived(data: bytes = data) -> bool:
                sender.transport.send(data)
                time.sleep(0.02)
                return data in heard

            until(arrived, "the message arrives")
    finally:
        victim.close()
        sender.transport.close()


# Garbage


def test_garbage_from_a_publisher_is_delivered_but_never_fatal(mesh: Mesh) -> None:
    nodes = local_nodes(3)
    first, third = mesh(nodes, [0, 2], max_bytes=100_000)
    rng = random.Random(3)
    with publisher_at(nodes[1]) as liar:

        def spread() -> bool:
            liar.send(b"")
            liar.send(rng.randbytes(rng.randrange(2_000)))
            time.sleep(0.02)
            return first.link(1).received >= 100

        until(spread, "garbage arrives")
        assert b"" in first.received
        first.hears(third, b"undisturbed")


@pytest.mark.parametrize("frames", [[b"two", b"frames"], [b""] * 3, [b"many"] * 1000], ids=["2", "3", "1000"])
def test_a_peer_that_sends_messages_of_several_frames_is_cut_and_tried_again_later(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, frames: list[bytes]
) -> None:
    monkeypatch.setattr("transports.zmq_link.PENALTY_S", 0.3)
    nodes = local_nodes(3)
    first, third = mesh(nodes, [0, 2])
    with publisher_at(nodes[1]) as liar:

        def cut_twice() -> bool:
            liar.send_multipart(frames)
            time.sleep(0.02)
            return first.link(1).refused >= 2

        until(cut_twice, "it is cut twice")
        first.hears(third, b"undisturbed")
    (second,) = mesh(nodes, [1])
    first.hears(second, b"the real one")
    assert not set(frames) & set(first.received)


def test_a_link_returns_after_a_message_beyond_the_limit(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.zmq_link.GIVEN_UP_MS", 300)
    nodes = local_nodes(3)
    first, third = mesh(nodes, [0, 2], max_bytes=100_000)
    with publisher_at(nodes[1]) as liar:
        until(lambda: first.link(1).connected, "the liar is connected")

        def cut_off() -> bool:
            liar.send(bytes(100_001))
            time.sleep(0.02)
            return not first.link(1).connected

        until(cut_off, "the oversize message ends the connection")
        first.hears(third, b"undisturbed")
    (second,) = mesh(nodes, [1], max_bytes=100_000)
    first.hears(second, b"the real one")
    assert bytes(100_001) not in first.received


RAW_GARBAGE = [
    b"",
    b"\x00",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10,
    bytes(100_000),
    b"\xff" * 100_000,
    random.Random(4).randbytes(100_000),
    greeting(),
    greeting() + b"\x04\x05zzzzz" + b"\xff" * 100,
    greeting() + ready(b"SUB") + random.Random(5).randbytes(10_000),
    greeting() + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff",
    greeting() + ready(b"SUB") + b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
]


def test_raw_garbage_to_the_listening_port_does_not_stop_publishing(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh(nodes)
    connect_all(peers)
    for garbage in RAW_GARBAGE * 3:
        with socket.create_connection((nodes[0].host, nodes[0].port)) as intruder, contextlib.suppress(OSError):
            intruder.sendall(garbage)
    peers[1].hears(peers[0], b"still here")
    assert peers[1].link(0).connected


@pytest.mark.parametrize("garbage", RAW_GARBAGE[2:], ids=range(len(RAW_GARBAGE) - 2))
def test_a_peers_port_that_talks_garbage_is_tried_until_the_peer_is_there(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch, garbage: bytes
) -> None:
    monkeypatch.setattr("transports.zmq_link.GIVEN_UP_MS", 300)
    monkeypatch.setattr("transports.zmq_link.RETRY_S", 0.1)
    monkeypatch.setattr("transports.zmq_link.PENALTY_S", 0.1)
    nodes = local_nodes(2)
    with socket.create_server((nodes[1].host, nodes[1].port)) as impostor:
        (first,) = mesh(nodes, [0])
        for _ in range(2):
            connection, _ = impostor.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(garbage)
                connection.settimeout(0.2)
                while connection.recv(4096):
                    pass
            assert not first.link(1).connected
    (second,) = mesh(nodes, [1])
    first.hears(second, b"the real one")
    second.hears(first, b"welcome")
