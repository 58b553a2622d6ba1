"""The outbox of the Kafka transport: order, bounds, and what becomes of messages nobody acknowledged."""

from __future__ import annotations

import pytest

from transports.kafka_outbox import BATCH_BYTES, OUTBOX_BYTES, OUTBOX_MESSAGES, Outbox, Parcel


def taken(outbox: Outbox) -> list[tuple[str, tuple[bytes, ...]]]:
    """Everything that waits, parcel by parcel."""
    parcels = []
    while (parcel := outbox.take()) is not None:
        parcels.append((parcel.topic, parcel.messages))
    return parcels


def take(outbox: Outbox) -> Parcel:
    parcel = outbox.take()
    assert parcel is not None
    return parcel


def test_messages_of_one_topic_that_follow_each_other_share_a_parcel() -> None:
    outbox = Outbox()
    for topic, data in (("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4")):
        outbox.put(topic, data)
    assert taken(outbox) == [("a", (b"1", b"2")), ("b", (b"3",)), ("a", (b"4",))]


def test_a_parcel_is_no_larger_than_a_batch_unless_a_single_message_is() -> None:
    outbox = Outbox()
    sizes = [BATCH_BYTES - 10, 10, 1, BATCH_BYTES + 1, 1]
    for size in sizes:
        outbox.put("a", bytes(size))
    assert [[len(data) for data in messages] for _, messages in taken(outbox)] == [
        sizes[:2],
        sizes[2:3],
        sizes[3:4],
        sizes[4:],
    ]


@pytest.mark.parametrize(("size", "most"), [(1, OUTBOX_MESSAGES), (OUTBOX_BYTES // 8, 8), (OUTBOX_BYTES + 1, 1)])
def test_the_oldest_are_lost_when_it_is_full(size: int, most: int) -> None:
    outbox = Outbox()
    for number in range(most + 5):
        outbox.put("a", number.to_bytes(4) + bytes(max(0, size - 4)))
    messages = [data for _, parcel in taken(outbox) for data in parcel]
    assert [int.from_bytes(data[:4]) for data in messages] == list(range(5, most + 5))
    assert outbox.lost == 5


def test_what_was_not_settled_waits_again_before_the_rest() -> None:
    outbox = Outbox()
    for topic, data in (("a", b"1"), ("b", b"2"), ("b", b"3"), ("a", b"4"), ("c", b"5")):
        outbox.put(topic, data)
    settled = take(outbox)
    take(outbox)
    take(outbox)
    outbox.settle(settled)
    outbox.restore()
    assert taken(outbox) == [("b", (b"2", b"3")), ("a", (b"4",)), ("c", (b"5",))]


def test_what_waits_again_is_within_the_bounds_too() -> None:
    outbox = Outbox()
    outbox.put("a", b"old")
    take(outbox)
    for _ in range(OUTBOX_MESSAGES):
        outbox.put("a", b"new")
    outbox.restore()
    assert outbox.lost == 1
    assert {data for _, parcel in taken(outbox) for data in parcel} == {b"new"}


def test_it_is_empty_when_everything_was_settled() -> None:
    outbox = Outbox()
    assert outbox.empty
    outbox.put("a", b"1")
    assert not outbox.empty
    parcel = take(outbox)
    assert not outbox.empty
    outbox.settle(parcel)
    assert outbox.empty
    assert outbox.take() is None
