"""The in-process network: nothing moves by itself, and every run is repeatable."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from transports.base import Transport, TransportError
from transports.memory import MemoryHub


class Network:
    """A hub whose members note what they receive, as (receiver, data)."""

    def __init__(self, size: int = 3) -> None:
        self.hub = MemoryHub(size)
        self.received: list[tuple[int, bytes]] = []
        self.transports = [self.join(member) for member in range(size)]

    def join(self, member: int) -> Transport:
        transport = self.hub.transport(member)
        transport.start(lambda data, _: self.received.append((member, data)))
        return transport


def test_a_message_reaches_all_others_once_the_hub_is_stepped() -> None:
    network = Network()
    network.transports[1].send(b"vote")
    assert network.received == []
    assert network.hub.step()
    assert network.hub.step()
    assert not network.hub.step()
    assert network.received == [(0, b"vote"), (2, b"vote")]


def test_a_route_delays_repeats_reorders_and_loses() -> None:
    network = Network()
    fates = {b"slow": (50,), b"twice": (10, 20), b"lost": ()}
    network.hub.route = lambda _source, target, data: fates[data] if target == 0 else ()
    for data in fates:
        network.transports[1].send(data)
    assert network.hub.next_due_ms == 10
    network.hub.advance(49)
    assert network.received == [(0, b"twice"), (0, b"twice")]
    assert network.hub.now_ms == 49
    network.hub.advance(50)
    assert network.received[2:] == [(0, b"slow")]
    assert not network.hub.step()
    assert network.hub.lost == 4


def test_answers_sent_on_delivery_travel_in_the_same_advance() -> None:
    hub = MemoryHub(2)
    heard: list[bytes] = []
    first, second = hub.transport(0), hub.transport(1)
    first.start(lambda data, _: heard.append(data))
    second.start(lambda data, _: second.send(b"re: " + data))
    hub.route = lambda *_: (5,)
    first.send(b"question")
    hub.advance(9)
    assert heard == []
    hub.advance(10)
    assert heard == [b"re: question"]


def test_a_partition_cuts_both_ways_and_what_is_under_way_until_it_heals() -> None:
    network = Network(4)
    network.hub.route = lambda *_: (10,)
    network.transports[0].send(b"under way")
    network.hub.partition({0, 1})
    network.transports[1].send(b"to the other side")
    network.hub.advance(10)
    assert network.received == [(1, b"under way"), (0, b"to the other side")]
    assert [link.connected for link in network.transports[0].status()] == [True, False, False]
    network.hub.heal()
    network.transports[2].send(b"again")
    network.hub.advance(20)
    assert sorted(network.received[2:]) == [(0, b"again"), (1, b"again"), (3, b"again")]


def test_a_member_that_stopped_hears_nothing_but_its_last_words_arrive() -> None:
    network = Network()
    network.transports[0].send(b"last words")
    network.transports[0].close()
    network.transports[0].close()
    network.transports[1].send(b"to the dead")
    network.hub.advance(0)
    assert network.received == [(1, b"last words"), (2, b"last words"), (2, b"to the dead")]
    assert not network.transports[1].status()[0].connected
    with pytest.raises(TransportError, match="not on the hub"):
        network.transports[0].send(b"posthumous")


def test_a_restarted_member_takes_part_again() -> None:
    network = Network()
    network.transports[0].close()
    network.transports[0] = network.join(0)
    network.transports[1].send(b"welcome back")
    network.hub.advance(0)
    assert (0, b"welcome back") in network.received
    with pytest.raises(TransportError, match="already"):
        network.join(0)
    with pytest.raises(TransportError, match="beyond"):
        network.hub.transport(3)


def test_status_counts_per_link() -> None:
    network = Network()
    network.transports[2].send(b"one")
    network.transports[2].send(b"two")
    network.hub.advance(7)
    links = network.transports[0].status()
    assert [(link.member, link.address, link.received) for link in links] == [
        (1, "memory:1", 0),
        (2, "memory:2", 2),
    ]
    network.transports[1].close()
    assert network.transports[0].status()[0].since_ms == 7


def test_messages_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.memory.MAX_IN_FLIGHT", 3)
    network = Network()
    for _ in range(2):
        network.transports[0].send(b"flood")
    assert network.hub.lost == 1
    network.hub.advance(0)
    assert len(network.received) == 3


def test_a_seeded_route_gives_the_same_run_every_time() -> None:
    def run() -> list[tuple[int, bytes]]:
        network, rng = Network(), random.Random(7)

        def chaos(_source: int, _target: int, _data: bytes) -> Collection[int]:
            return [rng.randrange(100) for _ in range(rng.randrange(3))]

        network.hub.route = chaos
        for number in range(50):
            network.transports[number % 3].send(b"%d" % number)
            network.hub.advance(network.hub.now_ms + 5)
        network.hub.advance(10_000)
        return network.received

    assert run() == run()
    assert len(run()) > 50
