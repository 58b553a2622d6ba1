"""CURVE between real sockets: pinned members hear each other, and nobody else gets or says a word."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.zmq_peers import (
    Mesh,
    Peer,
    connect_all,
    curve_options,
    greeting,
    is_cut,
    keys_of,
    local_nodes,
    publisher_at,
    ready,
    subscriber_to,
    until,
)
from transports.base import TransportError
from transports.curve import CurveKeys, make_pair
from transports.nodes import NodeAddress
from transports.zmq import ZmqTransport
from transports.zmq_link import CURVE_OVERHEAD

PAIRS = [make_pair() for _ in range(3)]
STRANGER = make_pair()
# Whichever side is quicker to see that it will not work hangs up on the other.
HUNG_UP = "the peer ended the handshake: does it speak ZeroMQ, and CURVE with the keys that are pinned?"


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.zmq_link.RETRY_S", 0.1)


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    mesh = Mesh()
    yield mesh
    mesh.close()


def causes(lines: list[Any], event: str = "connection_refused") -> set[str]:
    return {str(line["cause"]) for line in lines if line["event"] == event}


def undisturbed(mesh: Mesh, peers: list[Peer]) -> None:
    """Whatever was tried, the members go on talking, and none of it was delivered."""
    first, *others = peers
    for other in others:
        first.hears(other, b"undisturbed")
        other.hears(first, b"undisturbed")
    for peer in mesh.peers:
        assert all(data == b"undisturbed" or data.startswith(b"hello from") for data in peer.received)


def test_members_with_pinned_keys_hear_each_other(mesh: Mesh) -> None:
    peers = mesh.encrypted(local_nodes(3), PAIRS)
    connect_all(peers)
    for peer in peers:
        assert all(link.refused == 0 for link in peer.transport.status())
        assert len(set(peer.received)) == 2


def test_messages_of_every_size_arrive_whole_and_in_order(mesh: Mesh) -> None:
    sender, receiver = mesh.encrypted(local_nodes(2), PAIRS[:2])
    connect_all([sender, receiver])
    messages = [bytes([size % 251]) * size for size in (0, 1, 255, 256, 70_000, 4_000_000, 8 * 1024 * 1024)]
    for data in messages:
        sender.transport.send(data)
    until(lambda: receiver.received[-1:] == messages[-1:], "the last message arrives")
    assert receiver.received[-len(messages) :] == messages


def test_nothing_can_be_read_on_the_wire(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    relay = local_nodes(1)[0]
    (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
    seen = bytearray()
    with socket.create_server((relay.host, relay.port)) as server:
        mesh([relay, nodes[1]], [1], curve=keys_of(PAIRS[:2], 1))  # reaches member 0 through the relay
        inner, _ = server.accept()
        with inner, socket.create_connection((nodes[0].host, nodes[0].port)) as outer:
            inner.settimeout(0.02)
            outer.settimeout(0.02)
            (second,) = mesh.peers[1:]

            def passed_on() -> bool:
                for source, target in ((inner, outer), (outer, inner)):
                    try:
                        data = source.recv(65536)
                    except TimeoutError:
                        continue
                    seen.extend(data)
                    target.sendall(data)
                first.transport.send(b"a secret of ours")
                return b"a secret of ours" in second.received

            until(passed_on, "the message arrives")
    assert b"CURVE" in seen
    assert b"secret of ours" not in seen


def test_a_peer_that_restarts_is_heard_again_and_hears_again(mesh: Mesh) -> None:
    nodes = local_nodes(3)
    first, second, third = mesh.encrypted(nodes, PAIRS)
    connect_all([first, second, third])
    second.transport.close()
    until(lambda: not first.link(1).connected, "the loss is noticed")
    third.hears(first, b"meanwhile")
    (second,) = mesh(nodes, [1], curve=keys_of(PAIRS, 1))
    first.hears(second, b"I am back")
    second.hears(first, b"welcome")
    assert all(link.refused == 0 for peer in (first, second, third) for link in peer.transport.status())


def test_a_peer_that_starts_late_is_found(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    (early,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
    time.sleep(0.3)  # several refused attempts
    (late,) = mesh(nodes, [1], curve=keys_of(PAIRS[:2], 1))
    late.hears(early, b"there you are")
    early.hears(late, b"here I am")


def test_ipv6_peers_are_told_apart_too(mesh: Mesh) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6 loopback")
    nodes = [NodeAddress("::1", node.port) for node in local_nodes(2)]
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with capture_logs() as lines, subscriber_to(nodes[0], **curve_options(STRANGER, PAIRS[0].public), ipv6=1):
        until(lambda: peers[0].link(None).refused > 0, "the stranger is refused")
    assert causes(lines) == {f"key {STRANGER.public_text} is not pinned"}
    assert "::1" in lines[0]["address"]


@pytest.mark.parametrize(
    "peers", [{1: PAIRS[1].public}, {n: PAIRS[n].public for n in range(3)}], ids=["few", "own"]
)
def test_keys_that_are_not_those_of_the_peers_are_refused_at_start(peers: dict[int, bytes]) -> None:
    transport = ZmqTransport(local_nodes(3), 0, curve=CurveKeys(PAIRS[0], peers))
    with pytest.raises(TransportError, match="CURVE key"):
        transport.start(lambda *_: None)
    transport.close()


# Who is refused: at the port


def test_a_stranger_gets_nothing_and_is_counted_and_named(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with capture_logs() as lines, subscriber_to(nodes[0], **curve_options(STRANGER, PAIRS[0].public)) as stranger:
        until(lambda: peers[0].link(None).refused > 0, "the stranger is refused")
        undisturbed(mesh, peers)
        assert not stranger.poll(100)
    assert causes(lines) == {f"key {STRANGER.public_text} is not pinned"}
    assert all(line["address"].startswith("127.0.0.1") for line in lines)
    assert peers[1].link(None).refused == 0


def test_a_member_is_no_stranger_to_its_peers_but_to_itself(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with subscriber_to(nodes[0], **curve_options(PAIRS[1], PAIRS[0].public)) as second:

        def let_in() -> bool:
            peers[0].transport.send(b"hello from 0")
            return bool(second.poll(20))

        until(let_in, "a pinned key is let in")
    with subscriber_to(nodes[0], **curve_options(PAIRS[0], PAIRS[0].public)) as impostor:
        until(lambda: peers[0].link(None).refused > 0, "our own key is refused")
        undisturbed(mesh, peers)
        assert not impostor.poll(100)


def test_a_plain_subscriber_gets_nothing_and_is_counted(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with capture_logs() as lines, subscriber_to(nodes[0]) as plain:
        until(lambda: peers[0].link(None).refused > 0, "it is refused")
        undisturbed(mesh, peers)
        assert not plain.poll(100)
    assert causes(lines) <= {"no CURVE on one of the two sides", "hung up in the handshake"}


def test_a_subscriber_that_expects_another_key_of_us_is_counted(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with capture_logs() as lines, subscriber_to(nodes[0], **curve_options(PAIRS[1], STRANGER.public)):
        until(lambda: peers[0].link(None).refused > 0, "it is refused")
        undisturbed(mesh, peers)
    assert causes(lines) == {"encrypted for another key than ours"}


CURVE_HELLO = b"\x05HELLO\x01\x00" + bytes(72)
RAW = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zmtp-1": b"\x01\x00\x02\x00\x01",
    "zmtp-2": b"\xff" + bytes(7) + b"\x01\x7f\x01\x02\x00\x00" + b"\x00\x01\x01",
    "no-mechanism": greeting() + ready(b"SUB") + b"\x00\x01\x01",
    "unasked-ready": greeting(b"CURVE") + ready(b"SUB") + b"\x00\x01\x01",
    "zero-key": greeting(b"CURVE") + b"\x04\xc8" + CURVE_HELLO + bytes(32) + bytes(8) + bytes(80),
    "low-order-key": greeting(b"CURVE") + b"\x04\xc8" + CURVE_HELLO + b"\x01" + bytes(39) + bytes(80),
    "short-hello": greeting(b"CURVE") + b"\x04\x06\x05HELLO",
    "endless-hello": greeting(b"CURVE") + b"\x06" + struct.pack(">Q", 2**62) + bytes(1000),
}


@pytest.mark.parametrize("attempt", RAW.values(), ids=RAW)
def test_what_is_no_curve_handshake_is_cut_and_counted(mesh: Mesh, attempt: bytes) -> None:
    nodes = local_nodes(2)
    peers = mesh.encrypted(nodes, PAIRS[:2])
    connect_all(peers)
    with socket.create_connection((nodes[0].host, nodes[0].port)) as intruder:
        intruder.sendall(attempt)
        until(lambda: is_cut(intruder), "the connection is cut")
    until(lambda: peers[0].link(None).refused == 1, "it is counted")
    undisturbed(mesh, peers)


# Who is refused: at the address of a member


def test_an_impostor_without_curve_is_not_heard_and_counted_on_the_link(mesh: Mesh) -> None:
    nodes = local_nodes(3)
    peers = [mesh.add(nodes, own, curve=keys_of(PAIRS, own)) for own in (0, 2)]
    with capture_logs() as lines, publisher_at(nodes[1]) as impostor:

        def refused() -> bool:
            impostor.send(b"listen to me")
            return peers[0].link(1).refused >= 2

        until(refused, "it is refused, and tried again")
        undisturbed(mesh, peers)
        assert not peers[0].link(1).connected
    assert causes(lines, "link_refused") <= {"the peer uses no CURVE", HUNG_UP}


def test_an_impostor_with_a_key_of_its_own_is_not_heard(mesh: Mesh) -> None:
    nodes = local_nodes(3)
    peers = [mesh.add(nodes, own, curve=keys_of(PAIRS, own)) for own in (0, 2)]
    with capture_logs() as lines, publisher_at(nodes[1], **curve_options(STRANGER)) as impostor:

        def noticed() -> bool:
            impostor.send(b"listen to me")
            return bool(causes(lines, "link_refused"))

        until(noticed, "it is noticed")
        undisturbed(mesh, peers)
        assert not peers[0].link(1).connected
    assert causes(lines, "link_refused") == {HUNG_UP}


@pytest.mark.parametrize(
    "answer", [greeting(), b"\x01\x00\x06\x00hello", b"\xff" + bytes(7) + b"\x01\x7f\x01\x01\x00\x00\x00\x05hello"]
)
def test_an_impostor_cannot_talk_us_down_to_an_older_protocol(mesh: Mesh, answer: bytes) -> None:
    nodes = local_nodes(2)
    with socket.create_server((nodes[1].host, nodes[1].port)) as impostor:
        (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
        connection, _ = impostor.accept()
        with connection:
            connection.sendall(answer)
            until(lambda: is_cut(connection), "we hang up")
    assert first.received == []


def test_a_plain_member_and_an_encrypted_one_say_so_and_meet_once_both_have_keys(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    said = {"the peer uses no CURVE", "the peer uses CURVE, we have no keys"}
    with capture_logs() as lines:
        (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
        (plain,) = mesh(nodes, [1])
        until(lambda: said <= causes(lines, "link_refused"), "both sides say so")
        until(lambda: first.link(None).refused > 0 and plain.link(None).refused > 0, "both sides count")
    plain.transport.close()
    (second,) = mesh(nodes, [1], curve=keys_of(PAIRS[:2], 1))
    first.hears(second, b"encrypted now")
    second.hears(first, b"welcome")


def test_a_wrong_pin_closes_both_ways_and_is_said_once_on_each_side(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    with capture_logs() as lines:
        (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
        (second,) = mesh(nodes, [1], curve=CurveKeys(PAIRS[1], {0: STRANGER.public}))
        until(lambda: all(peer.link(None).refused >= 8 for peer in (first, second)), "attempts are counted")
    assert not first.link(1).connected
    assert not second.link(0).connected
    assert causes(lines) == {"encrypted for another key than ours", f"key {PAIRS[0].public_text} is not pinned"}
    assert causes(lines, "link_refused") == {"the peer does not know our CURVE key", HUNG_UP}
    assert len(lines) < 8


def test_a_link_that_works_only_one_way_works_that_way(mesh: Mesh) -> None:
    nodes, (nowhere,) = local_nodes(2), local_nodes(1)
    (first,) = mesh([nodes[0], nowhere], [0], curve=keys_of(PAIRS[:2], 0))
    (second,) = mesh(nodes, [1], curve=keys_of(PAIRS[:2], 1))
    second.hears(first, b"can you hear me?")
    assert second.link(0).connected
    assert (first.link(1).connected, first.link(None).connected) == (False, True)


def test_a_member_whose_key_is_not_pinned_learns_that_from_its_own_log(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    with capture_logs() as lines:
        (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0))
        mesh(nodes, [1], curve=CurveKeys(STRANGER, {0: PAIRS[0].public}))
        until(lambda: bool(causes(lines, "link_refused") and first.link(None).refused), "both sides know")
    assert "the peer does not know our CURVE key" in causes(lines, "link_refused")
    assert f"key {STRANGER.public_text} is not pinned" in causes(lines)


def test_a_message_beyond_the_limit_is_refused_whatever_encryption_adds_to_it(mesh: Mesh) -> None:
    nodes = local_nodes(2)
    (first,) = mesh(nodes, [0], curve=keys_of(PAIRS[:2], 0), max_bytes=1000)
    with publisher_at(nodes[1], **curve_options(PAIRS[1])) as member:

        def counted() -> bool:
            member.send(bytes(1000))
            member.send(bytes(1001))
            time.sleep(0.02)
            return first.link(1).refused > 0 and first.link(1).received > 0

        until(counted, "it is counted")

        def cut() -> bool:
            member.send(bytes(1000 + CURVE_OVERHEAD))
            return not first.link(1).connected

        until(cut, "it is cut")
    assert set(first.received) == {bytes(1000)}


def test_without_anybody_to_ask_nobody_is_admitted(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.zmq_listener._ZAP_ENDPOINT", "inproc://nobody-asks-here")
    monkeypatch.setattr("transports.zmq_link.HANDSHAKE_TIMEOUT_MS", 200)
    peers = mesh.encrypted(local_nodes(2), PAIRS[:2])
    until(lambda: all(peer.link(None).refused >= 3 for peer in peers), "they try")
    assert not any(link.connected for peer in peers for link in peer.transport.status())
