"""The decoders of what comes from outside, each with valid inputs to begin with and a check of what comes of any.

A check raises for everything but a proper refusal: AssertionError, or whatever the decoder should not have raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from fedsm.chains.header import LAYOUTS, DecodeError, parse_block, parse_header
from tests import ocean_vectors
from tests.elements_vectors import blocks, load, raw_blocks
from tests.members import NOW, Federation
from transports.kafka_records import MAX_OFFSET, make_batch, read_batches
from transports.limits import check_message
from transports.opener import Opener
from transports.refusals import REASONS, EnvelopeError


@dataclass(frozen=True)
class Target:
    """A decoder under test: ``corpus`` are valid inputs, ``check`` feeds it any bytes and says what it did."""

    corpus: Sequence[bytes]
    check: Callable[[bytes], str]


def open_any(opener: Opener, data: bytes, now_ms: int) -> EnvelopeError | None:
    """The refusal of an envelope, None if it was opened; any other exception is a fault."""
    try:
        opened = opener.open(data, now_ms)
    except EnvelopeError as error:
        refusal = error
    else:
        assert opened.data == data
        check_message(opened.message)
        return None
    assert refusal.reason in REASONS
    return refusal


@cache
def envelopes() -> Target:
    """Envelopes: nothing mutated is believed, and nobody is blamed for it."""
    federation = Federation()
    corpus = [federation.members[0].seal(message) for message in federation.one_of_each().values()]
    opener = federation.opener()
    now_ms = NOW

    def check(data: bytes) -> str:
        nonlocal now_ms
        now_ms += 1_000  # so that nothing is an echo
        error = open_any(opener, data, now_ms)
        if error is None:
            assert data in corpus
            return "read"
        assert error.offender is None
        return error.reason

    return Target(corpus, check)


@cache
def headers() -> Target:
    """Block headers of Elements, Liquid and Ocean: what can be read is written back the same."""
    ours = [bytes.fromhex(parameters.values[1]["signed_header_hex"]) for parameters in blocks()]
    liquid = [bytes.fromhex(recorded["header_hex"]) for recorded in load("liquid_mainnet_headers")["headers"]]
    ocean = [bytes.fromhex(text) for text in ocean_vectors.raw_headers().values()]

    def check(data: bytes) -> str:
        layout = (None, *LAYOUTS)[len(data) % (1 + len(LAYOUTS))]
        try:
            header, end = parse_header(data, layout=layout)
        except DecodeError:
            return "refused"
        assert header.serialize() == data[:end]
        return "read"

    return Target([*ours, *liquid, *ocean], check)


@cache
def whole_blocks() -> Target:
    """Blocks, signed and not: as headers, and they have one hash."""

    def check(data: bytes) -> str:
        try:
            block = parse_block(data)
        except DecodeError:
            return "refused"
        assert block.serialize() == data
        assert len(block.header.hash) == 64
        return "read"

    return Target([bytes.fromhex(text) for text in (*raw_blocks(), *ocean_vectors.raw_blocks())], check)


@cache
def record_batches() -> Target:
    """Kafka's record batches: reading goes on behind them, and finds no more than they can hold."""
    first = 100
    corpus = [
        bytes(make_batch([b"value %d" % number for number in range(count)]) * repeats)
        for count in (1, 5, 60)
        for repeats in (1, 2)
    ]

    def check(data: bytes) -> str:
        reading = read_batches(data, first)
        assert first <= reading.next_offset <= MAX_OFFSET
        assert len(reading.values) <= len(data)
        assert sum(map(len, reading.values)) <= len(data)
        return "refused" if reading.refused else "read"

    return Target(corpus, check)


TARGETS: dict[str, Callable[[], Target]] = {
    "envelopes": envelopes,
    "headers": headers,
    "blocks": whole_blocks,
    "records": record_batches,
}
