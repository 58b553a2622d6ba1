"""A block with its transactions read: the unit that nodes validate, store and pass on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import wallycore as wally

from fedsm.chains.header import BlockHeader, Layout, fast_merkle_root, parse_header
from fedsm.chains.reader import Reader, write_compact_size
from fedsm.chains.transaction import Transaction, read_transaction

SMALLEST_TRANSACTION = 11
COMMITMENT_PREFIX = bytes.fromhex("6a24aa21a9ed")  # BIP 141: OP_RETURN, 36 bytes, marker


@dataclass(frozen=True, eq=False)
class ParsedBlock:
    """Header and transactions. Immutable, so that the nodes of one process share it."""

    header: BlockHeader
    transactions: tuple[Transaction, ...]

    @property
    def hash(self) -> str:
        """Block hash, display order."""
        return self.header.hash

    @cached_property
    def base_size(self) -> int:
        """Bytes without transaction witnesses; the block signature counts as part of the header."""
        return self._header_size + sum(transaction.base_size for transaction in self.transactions)

    @cached_property
    def size(self) -> int:
        """Bytes of the full serialisation."""
        return self._header_size + sum(len(transaction.raw) for transaction in self.transactions)

    @property
    def weight(self) -> int:
        """BIP 141 weight."""
        return self.base_size * 3 + self.size

    def serialize(self) -> bytes:
        """The whole block as nodes exchange it."""
        count = write_compact_size(len(self.transactions))
        return self.header.serialize() + count + b"".join(tx.raw for tx in self.transactions)

    @property
    def _header_size(self) -> int:
        return len(self.header.serialize()) + len(write_compact_size(len(self.transactions)))


def read_block(data: bytes, *, layout: Layout) -> ParsedBlock:
    """Read the block that ``data`` begins with; what follows it is ignored, as nodes do. Raises DecodeError."""
    header, offset = parse_header(data, layout=layout, whole_block=True)
    reader = Reader(data, offset)
    number = reader.count("transaction count", SMALLEST_TRANSACTION)
    return ParsedBlock(header, tuple(read_transaction(reader) for _ in range(number)))


def merkle_root(leaves: list[bytes]) -> tuple[bytes, bool]:
    """Bitcoin's Merkle root, and whether a level held the same hash twice in a pair (CVE-2012-2459)."""
    level, doubled = leaves, False
    while len(level) > 1:
        doubled = doubled or any(left == right for left, right in zip(level[::2], level[1::2], strict=False))
        if len(level) % 2:
            level = [*level, level[-1]]
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [bytes(wally.sha256d(left + right)) for left, right in pairs]
    return (level[0] if level else bytes(32)), doubled


def witness_commitment(transactions: tuple[Transaction, ...], reserved: bytes = bytes(32)) -> bytes:
    """The 32 bytes behind the marker of the commitment output; ``reserved`` is the coinbase's witness item.

    Elements hashes the witness-only hashes of all transactions into a fast Merkle root.
    """
    root = fast_merkle_root(tuple(transaction.witness_only_hash for transaction in transactions))
    return bytes(wally.sha256d(root + reserved))
