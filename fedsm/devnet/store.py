"""A node's blocks and waiting transactions on disk, so that a restarted node goes on where it was.

blocks.dat begins with the 32-byte genesis hash; each block that was stored follows with its length in front
(u32, little-endian), in the order of arrival. It only ever grows; a block cut short by a crash is dropped.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fedsm.chains.header import internal_hash
from fedsm.chains.transaction import Transaction, parse_transaction
from fedsm.devnet.block import ParsedBlock, read_block
from fedsm.devnet.flavours import rules_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fedsm.devnet.params import ChainParams

_LENGTH = struct.Struct("<I")
_GENESIS_SIZE = 32


class StoreError(Exception):
    """The directory holds another chain's blocks; the message names the file."""


class BlockStore:
    """The files of one node in ``directory``, which is made when it is missing."""

    def __init__(self, directory: Path, params: ChainParams) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._blocks = directory / "blocks.dat"
        self._transactions = directory / "mempool.hex"
        self._layout = params.layout
        self._genesis = internal_hash(rules_of(params).genesis().hash)

    def load(self) -> list[ParsedBlock]:
        """All stored blocks. Raises StoreError when the file belongs to another chain."""
        if not self._blocks.exists():
            self._blocks.write_bytes(self._genesis)
        data = self._blocks.read_bytes()
        if data[:_GENESIS_SIZE] != self._genesis:
            raise StoreError(f"{self._blocks} holds blocks of a chain with another genesis block")
        blocks, end = [], _GENESIS_SIZE
        while end + _LENGTH.size <= len(data):
            start = end + _LENGTH.size
            size = _LENGTH.unpack_from(data, end)[0]
            if start + size > len(data):
                break
            blocks.append(read_block(data[start : start + size], layout=self._layout))
            end = start + size
        if end < len(data):
            self._blocks.write_bytes(data[:end])
        return blocks

    def append(self, block: ParsedBlock) -> None:
        """Store one more block."""
        data = block.serialize()
        with self._blocks.open("ab") as file:
            file.write(_LENGTH.pack(len(data)) + data)

    def load_transactions(self) -> list[Transaction]:
        """The transactions that waited when the node stopped."""
        if not self._transactions.exists():
            return []
        return [parse_transaction(bytes.fromhex(line)) for line in self._transactions.read_text().split()]

    def save_transactions(self, transactions: Iterable[Transaction]) -> None:
        """Keep waiting transactions for the next start."""
        self._transactions.write_text("".join(f"{transaction.raw.hex()}\n" for transaction in transactions))
