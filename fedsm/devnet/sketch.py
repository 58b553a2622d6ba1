"""Compact block sketches (BIP 152), by which members could exchange blocks whose transactions they have.

Sketch: header | nonce u64 | count, six-byte ids | count, (gap, transaction) of those sent along. Request: 32 zero
bytes | count, gaps. Answer: 32 zero bytes | count, transactions. Counts and gaps are CompactSize; a gap is how many
positions lie between one and that before it. An id is the SipHash-2-4 of a transaction's witness hash under a key
that header and nonce make.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fedsm.chains.header import BlockHeader, Layout, parse_header
from fedsm.chains.reader import Reader, write_compact_size
from fedsm.chains.transaction import Transaction, read_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fedsm.devnet.block import ParsedBlock

ID_SIZE = 6
SMALLEST_TRANSACTION = 11
NO_HASH = bytes(32)  # nodes leave the block hash of requests and answers empty
WORD = (1 << 64) - 1


class SketchError(Exception):
    """A sketch that stands for no block: positions beyond its end, or two transactions with one id."""


@dataclass(frozen=True)
class Sketch:
    """A block with ids for most of its transactions; ``sent`` are the others, by position."""

    header: BlockHeader
    nonce: int
    ids: tuple[bytes, ...]
    sent: dict[int, Transaction]

    @classmethod
    def of(cls, block: ParsedBlock, nonce: int) -> Sketch:
        """The sketch of a block: the coinbase is sent, for nobody else can have it."""
        bare = cls(block.header, nonce, (), {0: block.transactions[0]})
        ids = tuple(bare.id_of(transaction) for transaction in block.transactions[1:])
        return cls(block.header, nonce, ids, bare.sent)

    @property
    def size(self) -> int:
        """The number of transactions in the block."""
        return len(self.ids) + len(self.sent)

    def serialize(self) -> bytes:
        """The sketch as nodes exchange it."""
        ids = write_compact_size(len(self.ids)) + b"".join(self.ids)
        gaps = _gaps(list(self.sent))
        sent = b"".join(write_compact_size(gap) + tx.raw for gap, tx in zip(gaps, self.sent.values(), strict=True))
        return self._keyed + ids + write_compact_size(len(self.sent)) + sent

    def id_of(self, transaction: Transaction) -> bytes:
        """The id that stands for a transaction in this sketch."""
        return siphash(*self._key, transaction.wtxid)[:ID_SIZE]

    def fill(self, known: Iterable[Transaction]) -> list[Transaction | None]:
        """The block's transactions, ``None`` where one is not among ``known``. Raises SketchError.

        Where two known ones have the same id, neither is taken.
        """
        if not self.size or any(position >= self.size for position in self.sent):
            raise SketchError("positions beyond the end")
        free = [position for position in range(self.size) if position not in self.sent]
        places = dict(zip(self.ids, free, strict=True))
        if len(places) != len(self.ids):
            raise SketchError("two transactions have one id")
        found: dict[int, dict[bytes, Transaction]] = {}
        for transaction in known:
            place = places.get(self.id_of(transaction))
            if place is not None:
                found.setdefault(place, {})[transaction.wtxid] = transaction
        unambiguous = {place: next(iter(each.values())) for place, each in found.items() if len(each) == 1}
        return [self.sent.get(place) or unambiguous.get(place) for place in range(self.size)]

    @property
    def _keyed(self) -> bytes:
        return self.header.serialize() + struct.pack("<Q", self.nonce)

    @cached_property
    def _key(self) -> tuple[int, int]:
        first, second = struct.unpack_from("<QQ", hashlib.sha256(self._keyed).digest())
        return first, second


def read_sketch(data: bytes, *, layout: Layout) -> Sketch:
    """Read the sketch that ``data`` begins with; what follows it is ignored. Raises DecodeError."""
    header, offset = parse_header(data, layout=layout)
    reader = Reader(data, offset)
    (nonce,) = struct.unpack("<Q", reader.take(8, "nonce"))
    ids = tuple(reader.take(ID_SIZE, "id") for _ in range(reader.count("ids", ID_SIZE)))
    sent: dict[int, Transaction] = {}
    position = -1
    for _ in range(reader.count("transactions sent", SMALLEST_TRANSACTION)):
        position += 1 + reader.compact_size("position")
        sent[position] = read_transaction(reader)
    return Sketch(header, nonce, ids, sent)


def write_request(positions: Sequence[int]) -> bytes:
    """Ask for the transactions at these positions, which rise."""
    return NO_HASH + write_compact_size(len(positions)) + b"".join(map(write_compact_size, _gaps(positions)))


def read_request(data: bytes) -> list[int]:
    """The positions that are asked for. Raises DecodeError."""
    reader = Reader(data)
    reader.take(32, "block hash")
    positions: list[int] = []
    for _ in range(reader.count("positions")):
        positions.append((positions[-1] + 1 if positions else 0) + reader.compact_size("position"))
    return positions


def write_transactions(transactions: Sequence[Transaction]) -> bytes:
    """A count and the transactions."""
    return write_compact_size(len(transactions)) + b"".join(transaction.raw for transaction in transactions)


def read_transactions(data: bytes, *, answer: bool) -> list[Transaction]:
    """Read what write_transactions wrote, behind the block hash in an ``answer``. Raises DecodeError."""
    reader = Reader(data)
    if answer:
        reader.take(32, "block hash")
    return [read_transaction(reader) for _ in range(reader.count("transactions", SMALLEST_TRANSACTION))]


def siphash(first: int, second: int, data: bytes) -> bytes:
    """SipHash-2-4 of ``data`` under the key's two little-endian halves; 8 bytes."""
    state = [
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    ]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        state[3] ^= word
        _sip_rounds(state, 2)
        state[0] ^= word
    state[2] ^= 0xFF
    _sip_rounds(state, 4)
    return struct.pack("<Q", state[0] ^ state[1] ^ state[2] ^ state[3])


def _sip_rounds(state: list[int], rounds: int) -> None:
    a, b, c, d = state
    for _ in range(rounds):
        a = (a + b) & WORD
        c = (c + d) & WORD
        b, d = _rotate(b, 13) ^ a, _rotate(d, 16) ^ c
        a = (_rotate(a, 32) + d) & WORD
        c = (c + b) & WORD
        d, b, c = _rotate(d, 21) ^ a, _rotate(b, 17) ^ c, _rotate(c, 32)
    state[:] = a, b, c, d


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & WORD


def _gaps(positions: Sequence[int]) -> list[int]:
    before = [-1, *positions]
    return [position - last - 1 for last, position in zip(before, positions, strict=False)]
