"""What the chain says of assets: issuances, reissuances, burns, and the coins on the federation's script.

No RPC of a node tells the supply of an asset, so the blocks are read one by one, each once; what was found is kept
in an SQLite file that can be made again from the chain at any time. Heights make everything reversible: what a
reorganisation undoes is removed by height. Hashes, assets and outpoints are bytes in internal order.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import wallycore as wally

from fedsm.chains.reader import Reader
from fedsm.chains.transaction import (
    OP_RETURN,
    Transaction,
    TxInput,
    explicit_amount,
    issued_assets,
    read_transaction,
)
from fedsm.chains.transactions import SMALLEST_TRANSACTION
from fedsm.reissue.custody import EXPLICIT, Custody, Unblinded
from fedsm.reissue.order import FeeCoin, TokenCoin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.chains.base import Tip
    from fedsm.chains.header import Block

LAYOUT_VERSION = 1
BLOCKS_AT_ONCE = 200  # in one transaction of the file

_LAYOUT = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE blocks (height INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;
CREATE TABLE assets (
    asset BLOB NOT NULL, token BLOB NOT NULL, entropy BLOB NOT NULL, height INTEGER NOT NULL
) STRICT;
CREATE TABLE changes (
    height INTEGER NOT NULL, asset BLOB NOT NULL, kind TEXT NOT NULL, amount INTEGER, txid BLOB NOT NULL
) STRICT;
CREATE TABLE coins (
    outpoint BLOB PRIMARY KEY, height INTEGER NOT NULL, spent_height INTEGER, asset BLOB NOT NULL,
    value INTEGER NOT NULL, asset_commitment BLOB NOT NULL, value_commitment BLOB NOT NULL,
    asset_blinder BLOB, value_blinder BLOB
) STRICT;
CREATE INDEX changes_by_asset ON changes (asset, height);
"""


class ChainReader(Protocol):
    """Where blocks come from."""

    def tip(self) -> Tip:
        """The node's best block."""

    def hash_at(self, height: int) -> str:
        """The hash of the block at a height of the best chain."""

    def block(self, block_hash: str) -> Block:
        """A block of the chain."""


class KnownAsset(NamedTuple):
    """An asset by the issuance that made it."""

    asset: bytes
    token: bytes
    entropy: bytes
    height: int


class Change(NamedTuple):
    """A change of an asset's supply: issuance, reissuance or burn; ``amount`` None is hidden (blinded)."""

    height: int
    kind: str
    amount: int | None
    txid: bytes


class AssetBook:
    """The book of one chain and custody. Used from one thread at a time.

    ``path`` None keeps it in memory. ``first_height``: blocks before it are not read; no asset of the federation
    may be issued in them.
    """

    def __init__(
        self, path: Path | None, chain: str, custody: Custody, policy_asset: bytes, first_height: int = 1
    ) -> None:
        self._custody = custody
        self._policy_asset = policy_asset
        self._first_height = max(1, first_height)
        secret = bytes(wally.sha256(custody.blinding_key)).hex()
        self._owner = f"{LAYOUT_VERSION} {chain} {custody.script_pubkey.hex()} {secret} {self._first_height}"
        self._path = path
        self._connection = self._open()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # --- following the chain

    @property
    def height(self) -> int:
        """The height of the last block read."""
        found = self._connection.execute("SELECT max(height) FROM blocks").fetchone()[0]
        return self._first_height - 1 if found is None else int(found)

    def hash_at(self, height: int) -> str | None:
        """The hash of a block that was read."""
        found = self._connection.execute("SELECT hash FROM blocks WHERE height = ?", (height,)).fetchone()
        return None if found is None else str(found[0])

    def catch_up(self, reader: ChainReader) -> None:
        """Read up to the node's best block, after undoing what is not in its chain any more."""
        best = reader.tip().height
        while not self._is_in_chain(reader, best):
            self._undo(self.height)
        while self.height < best:
            if not self._read_some(reader, min(best, self.height + BLOCKS_AT_ONCE)):
                return  # the chain changed under our eyes: the next call sorts it out

    def _is_in_chain(self, reader: ChainReader, best: int) -> bool:
        ours = self.hash_at(self.height)
        return ours is None or (self.height <= best and reader.hash_at(self.height) == ours)

    def _read_some(self, reader: ChainReader, last: int) -> bool:
        with self._connection:
            for height in range(self.height + 1, last + 1):
                block_hash = reader.hash_at(height)
                block = reader.block(block_hash)
                if self.hash_at(height - 1) not in (None, block.header.previous):
                    return False
                self._connection.execute("INSERT INTO blocks VALUES (?, ?)", (height, block_hash))
                for transaction in _transactions(block.transactions):
                    self._take(height, transaction)
        return True

    def _undo(self, height: int) -> None:
        with self._connection:
            for table in ("blocks", "assets", "changes", "coins"):
                self._connection.execute(f"DELETE FROM {table} WHERE height >= ?", (height,))  # noqa: S608 - ours
            self._connection.execute("UPDATE coins SET spent_height = NULL WHERE spent_height >= ?", (height,))

    def _take(self, height: int, transaction: Transaction) -> None:
        for spending in transaction.inputs:
            self._connection.execute(
                "UPDATE coins SET spent_height = ? WHERE outpoint = ?", (height, spending.outpoint)
            )
            if spending.issuance is not None:
                self._take_issuance(height, transaction, spending)
        for index, output in enumerate(transaction.outputs):
            if output.script == self._custody.script_pubkey:
                self._take_coin(height, transaction, index)
            elif output.script[:1] == bytes([OP_RETURN]) and output.asset[0] == EXPLICIT and output.satoshi:
                self._change(height, output.asset[1:], "burn", output.satoshi, transaction)

    def _take_issuance(self, height: int, transaction: Transaction, spending: TxInput) -> None:
        issuance = spending.issuance
        if issuance is None:
            return
        entropy, asset, token = issued_assets(spending, issuance)
        kind = "reissuance" if issuance.is_reissuance else "issuance"
        if kind == "issuance":
            self._connection.execute("INSERT INTO assets VALUES (?, ?, ?, ?)", (asset, token, entropy, height))
        if len(issuance.amount) > 1:
            self._change(height, asset, kind, explicit_amount(issuance.amount), transaction)

    def _change(self, height: int, asset: bytes, kind: str, amount: int | None, transaction: Transaction) -> None:
        self._connection.execute(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?)", (height, asset, kind, amount, transaction.txid)
        )

    def _take_coin(self, height: int, transaction: Transaction, index: int) -> None:
        output = transaction.outputs[index]
        held = self._custody.unblind(output, transaction.output_witness[index])
        if held is not None:
            blinders: tuple[bytes | None, ...] = (held.asset_blinder, held.value_blinder)
            content = (held.asset, held.value)
        elif output.asset[0] == EXPLICIT and output.satoshi is not None:
            blinders, content = (None, None), (output.asset[1:], output.satoshi)
        else:
            return
        self._connection.execute(
            "INSERT OR REPLACE INTO coins VALUES (?, ?, NULL, ?, ?, ?, ?, ?, ?)",
            (transaction.outpoint(index), height, *content, output.asset, output.value, *blinders),
        )

    # --- what it says

    def assets(self) -> list[KnownAsset]:
        """Every asset issued on the chain so far, in the order of their ids as they are displayed."""
        rows = self._connection.execute("SELECT asset, token, entropy, height FROM assets").fetchall()
        return sorted((KnownAsset(*row) for row in rows), key=lambda known: known.asset[::-1])

    def changes(self, asset: bytes) -> list[Change]:
        """What changed the supply of an asset, in the order of the chain."""
        rows = self._connection.execute(
            "SELECT height, kind, amount, txid FROM changes WHERE asset = ? ORDER BY height, rowid", (asset,)
        )
        return [Change(*row) for row in rows]

    def supply(self, asset: bytes, height: int) -> int | None:
        """The supply after the block at a height, in satoshi; ``None`` when a part of it is hidden."""
        total = 0
        for change in self.changes(asset):
            if change.height <= height:
                if change.amount is None:
                    return None
                total += -change.amount if change.kind == "burn" else change.amount
        return total

    def reissued_after(self, asset: bytes, height: int) -> Change | None:
        """The first reissuance of an asset in a block above a height."""
        later = (c for c in self.changes(asset) if c.kind == "reissuance" and c.height > height)
        return next(later, None)

    def token(self, token: bytes, height: int) -> TokenCoin | None:
        """The blinded coin that held a reissuance token after the block at a height: of several the largest."""
        for row in self._coins_at(token, height):
            if row[4] is not None:
                return TokenCoin(row[0], row[2], row[3], Unblinded(row[1], token, row[4], row[5]))
        return None

    def open_token(self, token: bytes, height: int) -> bytes | None:
        """The outpoint of a coin that held a token unblinded, from which nobody can reissue."""
        return next((bytes(row[0]) for row in self._coins_at(token, height) if row[4] is None), None)

    def has_held(self, token: bytes) -> bool:
        """Whether a token was ever on our script."""
        found = self._connection.execute("SELECT 1 FROM coins WHERE asset = ? LIMIT 1", (token,)).fetchone()
        return found is not None

    def fee_coins(self, height: int) -> list[FeeCoin]:
        """The coins of explicit policy asset that were on our script after the block at a height, largest first."""
        return [FeeCoin(row[0], row[1]) for row in self._coins_at(self._policy_asset, height) if row[4] is None]

    def _coins_at(self, asset: bytes, height: int) -> list[tuple[Any, ...]]:
        """The coins that were there, whatever became of them since: so members choose alike at any time."""
        return self._connection.execute(
            "SELECT outpoint, value, asset_commitment, value_commitment, asset_blinder, value_blinder FROM coins "
            "WHERE asset = ? AND height <= ? AND (spent_height IS NULL OR spent_height > ?) "
            "ORDER BY value DESC, outpoint",
            (asset, height, height),
        ).fetchall()

    def value_of(self, outpoint: bytes) -> bytes | None:
        """The serialised value of a coin of ours, spent or not: what a signature commits to."""
        found = self._connection.execute(
            "SELECT value_commitment FROM coins WHERE outpoint = ?", (outpoint,)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def spent_at(self, outpoint: bytes) -> int | None:
        """The height of the block that spent a coin of ours."""
        query = "SELECT spent_height FROM coins WHERE outpoint = ? AND spent_height IS NOT NULL"
        found = self._connection.execute(query, (outpoint,)).fetchone()
        return None if found is None else int(found[0])

    # --- the file

    def _open(self) -> sqlite3.Connection:
        """A file of another owner, version or of no use is made again: everything in it is on the chain."""
        if self._path is not None:
            connection = sqlite3.connect(self._path, check_same_thread=False)
            try:
                if self._is_ours(connection):
                    return connection
            except sqlite3.Error:
                pass
            connection.close()
            for suffix in ("", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        connection = sqlite3.connect(":memory:" if self._path is None else self._path, check_same_thread=False)
        connection.executescript(_LAYOUT)
        with connection:
            connection.execute("INSERT INTO meta VALUES ('owner', ?)", (self._owner,))
        return connection

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        found = connection.execute("SELECT value FROM meta WHERE name = 'owner'").fetchone()
        return found is not None and found[0] == self._owner


def _transactions(data: bytes) -> Iterator[Transaction]:
    reader = Reader(data)
    for _ in range(reader.count("transaction count", SMALLEST_TRANSACTION)):
        yield read_transaction(reader)
