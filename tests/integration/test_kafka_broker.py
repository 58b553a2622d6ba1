"""The Kafka transport on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsm.demo.broker import Broker
from tests.integration.broker import kafka
from tests.unit.kafka_member import Member, proposal, until
from transports.kafka import MEMBER_BACKLOG, MEMBER_LOOK_BACK
from transports.kafka_settings import KafkaSettings, parse_servers


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[KafkaSettings]:
    with kafka(tmp_path) as (address, prefix):
        yield KafkaSettings(parse_servers(address), prefix=prefix)


def test_messages_and_blocks_of_the_largest_size_arrive_at_all_others(settings: KafkaSettings) -> None:
    members = [Member(settings, 3, own) for own in range(3)]
    block = proposal(8 * 1024 * 1024 - 300)
    members[0].send(b"vote of 0", block)
    members[1].send(*(b"vote %d of 1" % i for i in range(100)))
    members[2].wait_for(b"vote of 0", block, *(b"vote %d of 1" % i for i in range(100)))
    members[1].wait_for(b"vote of 0", block)
    from_1 = [data for data in members[2].received if data.endswith(b"of 1")]
    assert from_1 == [b"vote %d of 1" % i for i in range(100)], "in order, each once"
    assert not members[0].received or all(data.endswith(b"of 1") for data in members[0].received)
    for member in members:
        member.close()


def test_a_member_that_starts_late_reads_a_bounded_look_back(settings: KafkaSettings) -> None:
    first = Member(settings, 2, 0)
    many = [b"vote %d" % i for i in range(3 * MEMBER_LOOK_BACK)]
    first.send(*many)
    until(lambda: first.transport._outbox.empty, "everything is written")
    late = Member(settings, 2, 1)
    late.wait_for(*many[-MEMBER_LOOK_BACK:])
    # Some brokers tell an end that is short by what a batch holds.
    assert late.received == many[-len(late.received) :]
    assert len(late.received) <= MEMBER_BACKLOG < len(many)
    first.send(b"and on")
    late.wait_for(b"and on")
    first.close()
    late.close()


def test_a_broker_that_restarts_with_nothing_left_is_used_again(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        settings = KafkaSettings(parse_servers(broker.address))
        first, second = Member(settings, 2, 0), Member(settings, 2, 1)
        first.send(b"before")
        second.wait_for(b"before")
        broker.close()
        until(lambda: not (first.link.connected or second.link.connected), "both notice")
        broker.start()

        def arrives() -> bool:
            # One message may stand where the last one stood in the lost topic, and seem read; the core repeats all.
            first.send(b"after")
            return b"after" in second.received

        until(arrives, "messages arrive again")
        first.close()
        second.close()
