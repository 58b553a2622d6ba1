"""Record batches: ours are read again, others' cannot do harm whatever is in them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from transports.kafka_records import MAX_BATCH_RECORDS, MAX_OFFSET, make_batch, read_batches

ATTRIBUTES_AT = DefaultRecordBatch.ATTRIBUTES_OFFSET


def at(offset: int, batch: bytes | bytearray) -> bytes:
    """The batch as a broker stores it, its first record at ``offset``."""
    return struct.pack(">q", offset) + bytes(batch[8:])


def builder(compression: int = 0, producer: int = -1) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(2, compression, producer >= 0, producer, producer, producer, 10**9)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.integers(0, 2**40))
def test_what_is_written_is_read_again(values: list[bytes], offset: int) -> None:
    reading = read_batches(at(offset, make_batch(values)), offset)
    assert reading.values == values
    assert reading.next_offset == offset + len(values)
    assert reading.refused == 0


def test_our_batches_are_valid_for_kafka_itself() -> None:
    batch = MemoryRecords(bytes(make_batch([b"one", b"", b"x" * 100_000]))).next_batch()
    assert batch.validate_crc()
    assert batch.compression_type == 0
    assert [record.value for record in batch] == [b"one", b"", b"x" * 100_000]


def test_reading_begins_in_the_midst_of_a_batch_and_ends_before_one_that_was_cut_off() -> None:
    data = at(10, make_batch([b"a", b"b", b"c"])) + at(13, make_batch([b"d"])) + at(14, make_batch([b"e"]))
    reading = read_batches(data[:-1], 11)
    assert reading.values == [b"b", b"c", b"d"]
    assert reading.next_offset == 14


@pytest.mark.parametrize("codec", [1, 2, 3, 4, 7])
def test_compressed_batches_are_refused_unopened(codec: int) -> None:
    bomb = builder(DefaultRecordBatch.CODEC_GZIP)
    bomb.append(0, None, None, bytes(50_000_000), [])
    bomb.append(1, None, None, b"", [])
    batch = bytearray(bomb.build())
    assert len(batch) < 100_000
    batch[ATTRIBUTES_AT + 1] = codec
    reading = read_batches(at(5, batch) + at(7, make_batch([b"after"])), 5)
    assert (reading.values, reading.next_offset, reading.refused) == ([b"after"], 8, 1)


def test_batches_of_the_old_formats_are_refused() -> None:
    old = LegacyRecordBatchBuilder(1, 0, 10**6)
    old.append(0, None, None, b"o", [])
    reading = read_batches(at(5, old.build()) + at(6, make_batch([b"after"])), 5)
    assert (reading.values, reading.next_offset, reading.refused) == ([b"after"], 7, 1)


def test_a_batch_of_more_records_than_members_write_is_refused() -> None:
    values = [b"x"] * (MAX_BATCH_RECORDS + 1)
    assert read_batches(at(0, make_batch(values)), 0).refused == 1
    assert read_batches(at(0, make_batch(values[1:])), 0).values == values[1:]


def test_headers_keys_and_missing_values_are_passed_over() -> None:
    batch = builder()
    batch.append(0, None, b"key", b"with key", [])
    batch.append(1, None, None, None, [])
    batch.append(2, None, None, b"with headers", [("name", b"value")] * 5)
    reading = read_batches(at(0, batch.build()), 0)
    assert (reading.values, reading.next_offset) == ([b"with key", b"with headers"], 3)


def test_marks_of_transactions_are_passed_over() -> None:
    batch = bytearray(builder(producer=1).build())
    batch[ATTRIBUTES_AT + 1] |= DefaultRecordBatch.CONTROL_MASK
    reading = read_batches(at(4, batch) + at(5, make_batch([b"after"])), 4)
    assert (reading.values, reading.refused) == ([b"after"], 0)


def test_an_offset_beyond_all_bounds_stays_one_that_can_be_asked_for() -> None:
    assert read_batches(at(MAX_OFFSET, make_batch([b"a", b"b"])), 0).next_offset == MAX_OFFSET


# Made once: its length depends on the clock, by the timestamps in it.
TWO_BATCHES = at(100, make_batch([b"value %d" % number for number in range(5)])) * 2


@settings(max_examples=1000)
@given(st.data())
def test_no_damage_makes_reading_fail_or_go_back(data: st.DataObject) -> None:
    batch = bytearray(TWO_BATCHES)
    for _ in range(data.draw(st.integers(1, 4))):
        batch[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.integers(0, 255))
    reading = read_batches(bytes(batch[: data.draw(st.integers(0, len(batch)))]), 100)
    assert 100 <= reading.next_offset <= MAX_OFFSET
    assert len(reading.values) <= 10


@given(st.binary(max_size=400))
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    assert read_batches(data, 0).next_offset >= 0
