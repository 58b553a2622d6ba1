"""The Kafka transport at work: what goes to which topic, what is read, and what the broker cannot break."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.unit.kafka_member import Member, proposal, until
from tests.unit.kafka_stand_in import StandIn
from transports import kafka
from transports.base import TransportError
from transports.kafka_outbox import BATCH_BYTES, OUTBOX_MESSAGES
from transports.kafka_reader import FETCH_WAIT_MS
from transports.kafka_records import make_batch, read_batches

Join = Callable[..., Member]


@pytest.fixture
def broker() -> Iterator[StandIn]:
    broker = StandIn()
    yield broker
    broker.close()


@pytest.fixture
def join(broker: StandIn) -> Iterator[Join]:
    members: list[Member] = []

    def start(own: int, of: int = 3, **options: int) -> Member:
        members.append(Member(broker.settings(), of, own, **options))
        return members[-1]

    yield start
    for member in members:
        member.close()


def written(broker: StandIn, topic: str) -> list[bytes]:
    """The values in a topic."""
    return [value for batch in broker.logs.get(topic, []) for value in read_batches(batch, 0).values]


def put(broker: StandIn, topic: str, *values: bytes) -> None:
    """Write values to a topic, each in a batch of its own."""
    broker.logs.setdefault(topic, [])
    for value in values:
        broker.append(topic, bytes(make_batch([value])))


# --- topics


def test_proposals_have_their_topic_and_each_member_one_for_the_rest(broker: StandIn, join: Join) -> None:
    members = [join(own) for own in range(3)]
    blocks = [proposal(1000, own) for own in range(3)]
    for own, member in enumerate(members):
        member.send(b"vote of %d" % own, blocks[own])
    for own, member in enumerate(members):
        others = [other for other in range(3) if other != own]
        member.wait_for(*(b"vote of %d" % other for other in others), *(blocks[other] for other in others))
        assert blocks[own] not in member.received
        assert b"vote of %d" % own not in member.received
        assert member.link.received == len(member.received) == 4
        assert member.ways == {"new-block", *(f"new-sig{other}" for other in others)}
    assert sorted(written(broker, "new-block")) == sorted(blocks)
    assert [written(broker, f"new-sig{own}") for own in range(3)] == [[b"vote of %d" % own] for own in range(3)]


def test_a_proposal_that_is_sent_again_goes_where_nobody_else_can_bury_it(broker: StandIn, join: Join) -> None:
    first, second = join(0, of=2), join(1, of=2)
    small, large = proposal(1000), proposal(BATCH_BYTES + 1)
    first.send(small, large, small, large)
    second.wait_for(small, large)
    until(lambda: second.received.count(small) == second.received.count(large) == 2, "both come twice")
    assert written(broker, "new-block") == [small, large, large]
    assert written(broker, "new-sig0") == [small]


def test_missing_topics_are_created_with_the_limits_that_members_keep(broker: StandIn, join: Join) -> None:
    join(0)
    assert set(broker.configs) == {"new-block", "new-sig0", "new-sig1", "new-sig2"}
    for topic, least in (("new-block", kafka.MAX_MESSAGE_BYTES), ("new-sig1", BATCH_BYTES)):
        config = broker.configs[topic]
        assert config["retention.ms"] == "3600000"
        assert config["compression.type"] == "uncompressed"
        assert least < int(config["max.message.bytes"]) < least + 16_384


def test_topics_that_exist_are_left_as_they_are(broker: StandIn, join: Join) -> None:
    broker.logs = {name: [] for name in ("new-block", "new-sig0", "new-sig1", "new-sig2")}
    assert join(0).link.connected
    assert broker.requests[CreateTopicsRequest.name] == 0


def test_topics_have_one_replica_where_the_brokers_default_cannot_be(broker: StandIn, join: Join) -> None:
    asked: list[int] = []

    def refuse_default(request: Any) -> Any:
        asked.append(request.topics[0].replication_factor)
        names = [topic.name for topic in request.topics]
        return broker.created(names, 38) if asked[-1] == -1 else broker._CreateTopicsRequest(request)

    broker.handlers[CreateTopicsRequest] = refuse_default
    assert join(0).link.connected
    assert asked == [-1, 1]


def test_another_member_may_create_the_topics_at_the_same_time(broker: StandIn, join: Join) -> None:
    def create_and_say_they_exist(request: Any) -> Any:
        broker._CreateTopicsRequest(request)
        return broker.created([topic.name for topic in request.topics], 36)

    broker.handlers[CreateTopicsRequest] = create_and_say_they_exist
    assert join(0).link.connected


# --- where reading begins


def test_a_member_that_starts_reads_a_bounded_look_back_and_not_the_whole_topic(
    broker: StandIn, join: Join
) -> None:
    votes = [b"vote %d" % number for number in range(500)]
    blocks = [proposal(10, number) for number in range(20)]
    put(broker, "new-sig1", *votes)
    put(broker, "new-block", *blocks)
    member = join(0)
    expected = votes[-kafka.MEMBER_LOOK_BACK :] + blocks[-kafka.PROPOSALS_LOOK_BACK :]
    member.wait_for(*expected)
    assert sorted(member.received) == sorted(expected)


def test_a_link_that_broke_goes_on_where_it_was(broker: StandIn, join: Join) -> None:
    member = join(0)
    put(broker, "new-sig1", b"one")
    member.wait_for(b"one")
    broker.cut()
    until(lambda: not member.link.connected, "the link goes down")
    put(broker, "new-sig1", b"two", b"three")
    member.wait_for(b"two", b"three")
    assert member.received == [b"one", b"two", b"three"]


def test_of_what_piled_up_meanwhile_the_oldest_is_skipped(broker: StandIn, join: Join) -> None:
    member = join(0)
    broker.cut()
    until(lambda: not member.link.connected, "the link goes down")
    broker.handlers[MetadataRequest] = lambda _: None
    votes = [b"vote %d" % number for number in range(kafka.MEMBER_BACKLOG + 300)]
    put(broker, "new-sig1", *votes)
    del broker.handlers[MetadataRequest]
    member.wait_for(*votes[-kafka.MEMBER_BACKLOG :])
    assert member.received == votes[-kafka.MEMBER_BACKLOG :]


def test_a_broker_that_lost_its_topics_is_read_on(broker: StandIn, join: Join) -> None:
    put(broker, "new-sig1", *(b"old %d" % number for number in range(10)))
    member = join(0)
    member.wait_for(b"old 9")
    broker.logs.clear()
    broker.logs.update({name: [] for name in ("new-block", "new-sig0", "new-sig1", "new-sig2")})
    put(broker, "new-sig1", b"new")
    member.wait_for(b"new")


def test_topics_that_vanish_are_made_again(broker: StandIn, join: Join) -> None:
    member, other = join(0), join(1)
    broker.logs.clear()
    broker.cut()
    until(lambda: "new-sig0" in broker.logs, "the topics are there again")
    other.send(b"hello")
    member.wait_for(b"hello")


# --- links


def test_a_link_says_when_it_goes_down_and_comes_up(broker: StandIn, join: Join) -> None:
    with structlog.testing.capture_logs() as lines:
        member = join(0)
        since_ms = member.link.since_ms
        assert (member.link.connected, member.link.member) == (True, None)
        broker.cut()
        until(lambda: member.link.since_ms != since_ms, "the link changes")
        until(lambda: member.link.connected, "the link comes up again")
    told = [(line["event"], line["address"]) for line in lines]
    address = f"localhost:{broker.port}"
    assert told == [("link_up", address), ("link_down", address), ("link_up", address)]


def test_a_broker_that_stops_answering_is_noticed(
    broker: StandIn, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = join(0)
    monkeypatch.setattr("transports.kafka_wire.ANSWER_S", 0.3)
    broker.handlers[FetchRequest] = lambda request: (time.sleep(2), broker._FetchRequest(request))[1]
    with structlog.testing.capture_logs() as lines:
        until(lambda: not member.link.connected, "the link goes down")
        until(lambda: bool(lines), "it says so")
    assert "has not answered for" in lines[0]["detail"]


def test_a_topic_that_moves_to_another_broker_is_followed(broker: StandIn, join: Join) -> None:
    member = join(0)
    kind = FetchResponse.FetchableTopicResponse
    moved = [True]

    def moved_once(request: Any) -> Any:
        if not moved:
            return broker._FetchRequest(request)
        moved.clear()
        part = kind.PartitionData(partition_index=0, error_code=6, high_watermark=-1, records=b"")
        return FetchResponse(error_code=0, responses=[kind(topic="new-sig1", partitions=[part])])

    broker.handlers[FetchRequest] = moved_once
    put(broker, "new-sig1", b"hello")
    member.wait_for(b"hello")
    assert not moved


def test_what_was_not_acknowledged_is_written_again(broker: StandIn, join: Join) -> None:
    member = join(0)
    broker.handlers[ProduceRequest] = lambda _: None
    member.send(b"one", proposal(10), b"two")
    until(lambda: broker.requests[ProduceRequest.name] > 1, "writing is tried")
    assert written(broker, "new-sig0") == []
    del broker.handlers[ProduceRequest]
    until(lambda: len(written(broker, "new-sig0")) == 2, "both are written")
    assert written(broker, "new-sig0") == [b"one", b"two"]
    assert written(broker, "new-block") == [proposal(10)]


def test_a_message_that_the_broker_refuses_holds_up_no_other(broker: StandIn, join: Join) -> None:
    member = join(0)
    topic_kind = ProduceResponse.TopicProduceResponse
    part = topic_kind.PartitionProduceResponse(index=0, error_code=10, base_offset=-1)
    too_large = ProduceResponse(responses=[topic_kind(name="new-sig0", partition_responses=[part])])
    broker.handlers[ProduceRequest] = lambda _: broker.handlers.pop(ProduceRequest) and too_large
    with structlog.testing.capture_logs() as lines:
        member.send(b"x" * 1000)
        until(lambda: bool(lines), "the refusal is logged")
        member.send(b"small")
        until(lambda: written(broker, "new-sig0") == [b"small"], "the other one is written")
    (line,) = lines
    assert line["event"] == "message_not_sent"
    assert "max.message.bytes of this topic must be more than 1000" in line["detail"]
    assert member.link.connected


def test_close_writes_what_is_queued(broker: StandIn, join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.kafka.FLUSH_S", 60.0)
    member = join(0)
    messages = [b"last %d" % number for number in range(100)]
    member.send(*messages)
    member.close()
    assert written(broker, "new-sig0") == messages


def test_a_transport_is_started_once_and_silent_after_close(join: Join) -> None:
    member = join(0)
    with pytest.raises(TransportError, match="started before"):
        member.transport.start(lambda *_: None)
    member.close()
    member.close()
    assert not member.link.connected
    with pytest.raises(TransportError, match="not running"):
        member.send(b"late")


def test_a_transport_that_is_closed_before_it_starts_or_meanwhile_does_not_hang(broker: StandIn) -> None:
    unused = kafka.KafkaTransport(broker.settings(), 2, 0)
    unused.close()
    with pytest.raises(TransportError, match="not running"):
        unused.send(b"early")
    for _ in range(20):
        member = Member(broker.settings(), 2, 0)
        member.send(b"data")
        member.close()


def test_a_federation_has_this_member() -> None:
    for members, own in ((3, 3), (3, -1), (21, 0)):
        with pytest.raises(TransportError, match="no federation has"):
            kafka.KafkaTransport(StandIn().settings(), members, own)


# --- bounds, and what others write


def test_messages_beyond_the_limits_are_refused_before_they_are_sent(join: Join) -> None:
    member = join(0, max_bytes=100_000)
    with pytest.raises(TransportError, match="beyond the limit of 65536"):
        member.send(bytes(BATCH_BYTES + 1))
    with pytest.raises(TransportError, match="beyond the limit of 100000"):
        member.send(proposal(100_000))


def test_messages_beyond_the_limits_are_not_delivered(broker: StandIn, join: Join) -> None:
    member = join(0, max_bytes=100_000)
    put(broker, "new-sig1", bytes(BATCH_BYTES + 1), b"good")
    put(broker, "new-block", bytes(100_001), proposal(10))
    member.wait_for(b"good", proposal(10))
    assert len(member.received) == 2
    assert member.link.refused == 2


def test_sending_never_waits_and_loses_the_oldest(broker: StandIn, join: Join) -> None:
    member = join(0)
    broker.handlers[ProduceRequest] = lambda _: None
    broker.handlers[MetadataRequest] = lambda _: None
    messages = [b"%05d" % number for number in range(10 * OUTBOX_MESSAGES)]
    member.send(*messages)
    broker.handlers.clear()
    until(lambda: messages[-1] in written(broker, "new-sig0"), "the newest is written")
    assert len(written(broker, "new-sig0")) < 3 * OUTBOX_MESSAGES


def test_a_flood_on_one_members_topic_leaves_the_others_heard(broker: StandIn, join: Join) -> None:
    flood = bytes(make_batch([b"flood"] * 200))
    member = join(0)
    for number in range(100):
        for _ in range(5):
            broker.append("new-sig1", flood)
        put(broker, "new-sig2", b"vote %d" % number)
    member.wait_for(*(b"vote %d" % number for number in range(100)))
    put(broker, "new-sig1", b"honest again")
    member.wait_for(b"honest again")
    assert member.received.count(b"flood") < 50_000


def test_a_batch_that_is_no_members_is_refused_and_told_of_once(broker: StandIn, join: Join) -> None:
    gzip = DefaultRecordBatchBuilder(2, 1, False, -1, -1, -1, 10**9)
    gzip.append(0, None, None, bytes(10_000_000), [])
    bomb = bytes(gzip.build())
    with structlog.testing.capture_logs() as lines:
        member = join(0)
        for number in range(5):
            broker.append("new-sig1", bomb)
            put(broker, "new-sig1", b"vote %d" % number)
        member.wait_for(*(b"vote %d" % number for number in range(5)))
    assert len(member.received) == 5
    assert member.link.refused == 5
    assert [line["topic"] for line in lines if line["event"] == "records_refused"] == ["new-sig1"]


def test_an_answer_beyond_all_limits_makes_reading_begin_behind_it(broker: StandIn, join: Join) -> None:
    put(broker, "new-sig1", *(bytes(50_000) for _ in range(kafka.MEMBER_LOOK_BACK)))
    whole_log = broker._FetchRequest

    def ignore_limits(request: Any) -> Any:
        for topic in request.topics:
            topic.partitions[0].partition_max_bytes = 10**9
        return whole_log(request)

    broker.handlers[FetchRequest] = ignore_limits
    member = join(0, max_bytes=100_000)
    until(lambda: broker.requests[FetchRequest.name] > 0, "reading is tried")
    broker.logs["new-sig1"].clear()
    put(broker, "new-sig1", b"hello")
    member.wait_for(b"hello")


def test_a_broker_that_answers_at_once_with_nothing_is_not_asked_faster(broker: StandIn, join: Join) -> None:
    join(0)
    broker.handlers[FetchRequest] = lambda _: FetchResponse(error_code=0, session_id=0, responses=[])
    before, begun = broker.requests[FetchRequest.name], time.monotonic()
    time.sleep(0.5)
    asked = broker.requests[FetchRequest.name] - before
    assert asked <= (time.monotonic() - begun) * 1000 / FETCH_WAIT_MS + 2


def test_a_receiver_that_raises_does_not_end_the_link(broker: StandIn) -> None:
    received: list[bytes] = []

    def fail_first(data: bytes, _via: str) -> None:
        received.append(data)
        if len(received) == 1:
            raise RuntimeError("a bug above")

    transport = kafka.KafkaTransport(broker.settings(), 2, 0)
    transport.start(fail_first)
    put(broker, "new-sig1", b"one", b"two")
    until(lambda: received == [b"one", b"two"], "both arrive")
    transport.close()


@pytest.mark.parametrize("seed", range(6))
def test_answers_of_any_bytes_cannot_end_the_transport(
    broker: StandIn, join: Join, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit_s in (
        ("kafka.BACKOFF_MAX_S", 0.01),
        ("kafka_wire.ANSWER_S", 0.5),
        ("kafka_dial.CONNECT_S", 0.5),
    ):
        monkeypatch.setattr(f"transports.{name}", limit_s)
    monkeypatch.setattr("transports.kafka_cluster.TOPIC_WAIT_S", 0.5)
    monkeypatch.setattr("transports.kafka_reader.TOPIC_WAIT_S", 0.5)
    rng = random.Random(seed)
    kinds = (MetadataRequest, FetchRequest, ListOffsetsRequest, ProduceRequest, CreateTopicsRequest)
    damaged = [0]

    def damage(name: str) -> Callable[[Any], Any]:
        def handler(request: Any) -> Any:
            answer = getattr(broker, f"_{name}")(request)
            if rng.random() < 0.5:
                return answer
            damaged[0] += 1
            answer.API_VERSION = request.API_VERSION
            answer.with_header(correlation_id=request.header.correlation_id)
            frame = bytearray(answer.encode(header=True, framed=True))
            for _ in range(rng.randint(1, 8)):
                frame[rng.randrange(8, len(frame))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            return bytes(frame)

        return handler

    with structlog.testing.capture_logs() as lines:
        member = join(0)
        broker.handlers = {kind: damage(kind.name) for kind in kinds}
        for number in range(40):
            put(broker, "new-sig1", b"vote %d" % number)
            member.send(b"ours %d" % number)
            broker.cut()
            until(lambda seen=damaged[0]: damaged[0] > seen, "an answer is damaged")  # type: ignore[misc]
        broker.handlers = {}
        put(broker, "new-sig1", b"at last")
        member.wait_for(b"at last")
    assert not [line for line in lines if "exc_info" in line]  # each failure was one that was thought of
