"""Record batches of Kafka, format 2: makes them with kafka-python, reads them within bounds.

What is read was written by anybody who may write to the topic. Members never compress, and a compressed batch
of a few kilobytes can hold gigabytes: such batches are refused as a whole, like everything malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.util import decode_varint

from transports.kafka_outbox import OUTBOX_MESSAGES

MAX_BATCH_RECORDS = OUTBOX_MESSAGES  # no member writes more at once
MAX_OFFSET = 2**63 - 1
BATCH_OVERHEAD_BYTES = 61 + OUTBOX_MESSAGES * 32  # the batch's header and, at most, what surrounds each value

_HEADER: struct.Struct = DefaultRecordBatch.HEADER_STRUCT
_PREFIX = struct.Struct(">qiib")  # the same in all formats: first offset, length, format-dependent, format
_LENGTH_END: int = DefaultRecordBatch.AFTER_LEN_OFFSET
_FORMAT = 2
_NO_PRODUCER = -1


@dataclass(frozen=True, slots=True)
class Reading:
    """The values found, the offset after the last batch, and how many batches were refused."""

    values: list[bytes]
    next_offset: int
    refused: int


def make_batch(values: Sequence[bytes]) -> bytearray:
    """One uncompressed batch with a record for each value."""
    builder = DefaultRecordBatchBuilder(
        magic=_FORMAT,
        compression_type=DefaultRecordBatch.CODEC_NONE,
        is_transactional=False,
        producer_id=_NO_PRODUCER,
        producer_epoch=_NO_PRODUCER,
        base_sequence=_NO_PRODUCER,
        batch_size=sum(map(len, values)) + BATCH_OVERHEAD_BYTES,
    )
    for offset, value in enumerate(values):
        builder.append(offset, None, None, value, [])
    batch: bytearray = builder.build()
    return batch


def read_batches(data: bytes, first: int) -> Reading:
    """The values at offset ``first`` and later; a broker may begin earlier and cut off the last batch.

    Checksums are not verified: every message is signed, and kafka-python computes them slowly.
    """
    values: list[bytes] = []
    next_offset, refused, position = first, 0, 0
    while len(data) - position >= _PREFIX.size:
        base, length, _, version = _PREFIX.unpack_from(data, position)
        end = position + _LENGTH_END + length
        if end < position + _PREFIX.size or end > len(data):
            break
        last, accepted = base, False
        if version == _FORMAT and end - position >= _HEADER.size:
            header = _HEADER.unpack_from(data, position)
            attributes, last_delta, count = header[5], header[6], header[-1]
            last = base + last_delta
            if not attributes & DefaultRecordBatch.CODEC_MASK and count <= MAX_BATCH_RECORDS:
                is_mark = attributes & DefaultRecordBatch.CONTROL_MASK  # of a transaction
                records = _values(data, position + _HEADER.size, end, first - base, 0 if is_mark else count)
                accepted = _collect(records, values)
        refused += not accepted
        next_offset = min(max(next_offset, last + 1), MAX_OFFSET)
        position = end
    return Reading(values, next_offset, refused)


def _collect(records: Iterator[bytes], values: list[bytes]) -> bool:
    """Add the records to the values, up to the first that is malformed; whether there was none."""
    try:
        values.extend(records)
    except (IndexError, ValueError):
        return False
    return True


def _values(data: bytes, position: int, end: int, first_delta: int, count: int) -> Iterator[bytes]:
    """The records' values. Raises ValueError or IndexError in the midst of it for what is no batch."""
    for _ in range(count):
        length, position = decode_varint(data, position)
        after = position + length
        if length < 0 or after > end:
            raise ValueError("a record reaches beyond its batch")
        _, position = decode_varint(data, position + 1)  # timestamp, after one byte of attributes
        delta, position = decode_varint(data, position)
        key_length, position = decode_varint(data, position)
        value_length, position = decode_varint(data, position + max(key_length, 0))
        if position + value_length > after:
            raise ValueError("a value reaches beyond its record")
        if value_length >= 0 and delta >= first_delta:
            yield data[position : position + value_length]
        position = after  # members write no record headers
