"""The rows of a guard file as records, each with a checksum that shows bit rot SQLite itself would not notice.

The checksum is CRC-32 over table name and values: against failing disks, not against people. All calls are made
inside a transaction of the caller.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from states.memory import BlockDecided, DraftLocked, LockTaken, VoteCast
from states.messages import QuorumProof

if TYPE_CHECKING:
    import sqlite3

_TABLES: Final = {
    "meta": "SELECT name, value, checksum FROM meta",
    "votes": "SELECT height, round, kind, block_hash, checksum FROM votes",
    "locks": "SELECT height, block_hash, block, proof, checksum FROM locks",
    "decisions": "SELECT height, block_hash, block, certificate, checksum FROM decisions",
    "signatures": "SELECT height, block_hash, signature, checksum FROM signatures",
    "drafts": "SELECT asset, due_height, draft_id, outpoint, draft, checksum FROM drafts",
}


KEPT_DRAFTS: Final = 1000


class DamageError(Exception):
    """A row does not hold what was written."""


class Rows:
    """Typed access to the tables; ``meta`` names are chain, public_key, session, mark and fence."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def verify(self) -> None:
        """Read every row of every table. Raises DamageError."""
        for table in _TABLES:
            self._select(table)
        self.all_locks()
        self.all_decisions()

    # --- chain, key, mark

    def meta(self, name: str) -> str | None:
        """A value of the meta table."""
        found = self._select("meta", "WHERE name = ?", name)
        return found[0][1] if found else None

    def set_meta(self, name: str, value: str) -> None:
        """Insert or replace a value of the meta table."""
        self._connection.execute(
            "INSERT INTO meta VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
            (name, value, _checksum("meta", (name, value))),
        )

    def height_of(self, name: str) -> int | None:
        """A meta value that is a height: ``mark`` (all up to it is closed) or ``fence`` (see Guard.restore)."""
        value = self.meta(name)
        return None if value is None else int(value)

    def is_empty(self) -> bool:
        """Whether nothing but chain and key was ever written."""
        found = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM meta WHERE name = 'mark') OR EXISTS (SELECT 1 FROM votes)"
            " OR EXISTS (SELECT 1 FROM locks) OR EXISTS (SELECT 1 FROM decisions)"
            " OR EXISTS (SELECT 1 FROM drafts)"
        ).fetchone()
        return not found[0]

    # --- votes and locks

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        """The vote cast in (height, round, kind)."""
        found = self._select("votes", "WHERE height = ? AND round = ? AND kind = ?", height, round_, kind)
        return _vote(found[0]) if found else None

    def votes(self, height: int) -> tuple[VoteCast, ...]:
        """The votes of a height by round."""
        return tuple(map(_vote, self._select("votes", "WHERE height = ? ORDER BY round, kind", height)))

    def all_votes(self) -> list[VoteCast]:
        """Every vote kept."""
        return [_vote(row) for row in self._select("votes", "ORDER BY height, round, kind")]

    def add_vote(self, vote: VoteCast) -> None:
        """Insert a vote; there is none in its height, round and kind."""
        values = (vote.height, vote.round, vote.kind, vote.block_hash)
        self._connection.execute("INSERT INTO votes VALUES (?, ?, ?, ?, ?)", (*values, _checksum("votes", values)))

    def lock(self, height: int) -> LockTaken | None:
        """The lock of a height."""
        found = self._select("locks", "WHERE height = ?", height)
        return _lock(found[0]) if found else None

    def all_locks(self) -> list[LockTaken]:
        """Every lock kept."""
        return [_lock(row) for row in self._select("locks", "ORDER BY height")]

    def set_lock(self, lock: LockTaken) -> None:
        """Insert or replace the lock of its height."""
        values = (lock.height, lock.block_hash, lock.block, msgspec.msgpack.encode(lock.proof))
        self._connection.execute("DELETE FROM locks WHERE height = ?", (lock.height,))
        self._connection.execute("INSERT INTO locks VALUES (?, ?, ?, ?, ?)", (*values, _checksum("locks", values)))

    # --- decisions and signatures

    def decided_hash(self, height: int) -> str | None:
        """The hash decided at a height, also when the block itself is kept no longer."""
        found = self._select("decisions", "WHERE height = ?", height)
        return found[0][1] if found else None

    def decision(self, height: int) -> BlockDecided | None:
        """The decision of a height with its block; ``None`` when the block is kept no longer."""
        found = self._select("decisions", "WHERE height = ?", height)
        return _decision(found[0])[2] if found else None

    def all_decisions(self) -> list[tuple[int, str, BlockDecided | None]]:
        """Every decision kept: height, hash, and the record with its block while the height is open."""
        return [_decision(row) for row in self._select("decisions", "ORDER BY height")]

    def add_decision(self, height: int, block_hash: str, record: BlockDecided | None) -> None:
        """Insert a decision; there is none at its height."""
        block = None if record is None else record.block
        certificate = None if record is None else msgspec.msgpack.encode(record.certificate)
        values = (height, block_hash, block, certificate)
        self._connection.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?)", (*values, _checksum("decisions", values))
        )

    def signature(self, height: int) -> tuple[str, bytes] | None:
        """(block hash, DER signature) given at a height."""
        found = self._select("signatures", "WHERE height = ?", height)
        return (found[0][1], found[0][2]) if found else None

    def all_signatures(self) -> list[tuple[int, str, bytes]]:
        """Every signature kept: height, hash, DER."""
        return [(row[0], row[1], row[2]) for row in self._select("signatures", "ORDER BY height")]

    def add_signature(self, height: int, block_hash: str, signature: bytes) -> None:
        """Insert a signature; there is none at its height and the hash is the decided one."""
        values = (height, block_hash, signature)
        self._connection.execute(
            "INSERT INTO signatures VALUES (?, ?, ?, ?)", (*values, _checksum("signatures", values))
        )

    # --- reissuance

    def draft(self, asset: str, due_height: int) -> DraftLocked | None:
        """The lock of an asset in a period."""
        found = self._select("drafts", "WHERE asset = ? AND due_height = ?", asset, due_height)
        return DraftLocked(*found[0]) if found else None

    def latest_draft(self, asset: str) -> DraftLocked | None:
        """The lock of the latest period in which a draft for this asset was locked."""
        found = self._select("drafts", "WHERE asset = ? ORDER BY due_height DESC LIMIT 1", asset)
        return DraftLocked(*found[0]) if found else None

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        """The locks of a period, by asset."""
        found = self._select("drafts", "WHERE due_height = ? ORDER BY asset", due_height)
        return tuple(DraftLocked(*row) for row in found)

    def all_drafts(self) -> list[DraftLocked]:
        """Every lock of a reissuance kept."""
        return [DraftLocked(*row) for row in self._select("drafts", "ORDER BY asset, due_height")]

    def asset_of(self, outpoint: str) -> str | None:
        """The asset that a token output was locked to last."""
        found = self._select("drafts", "WHERE outpoint = ? LIMIT 1", outpoint)
        return found[0][0] if found else None

    def add_draft(self, draft: DraftLocked) -> None:
        """Insert a lock, the latest of its asset; of older ones the last 1000 of the asset are kept."""
        values = (draft.asset, draft.due_height, draft.draft_id, draft.outpoint, draft.draft)
        self._connection.execute(
            "INSERT INTO drafts VALUES (?, ?, ?, ?, ?, ?)", (*values, _checksum("drafts", values))
        )
        self._connection.execute(
            "DELETE FROM drafts WHERE asset = ?1 AND due_height <= "
            "(SELECT due_height FROM drafts WHERE asset = ?1 ORDER BY due_height DESC LIMIT 1 OFFSET ?2)",
            (draft.asset, KEPT_DRAFTS),
        )

    # --- pruning

    def prune(self, mark: int, oldest_kept: int) -> None:
        """Drop votes, locks and block bodies up to ``mark``, decisions and signatures below ``oldest_kept``."""
        execute = self._connection.execute
        execute("DELETE FROM votes WHERE height <= ?", (mark,))
        execute("DELETE FROM locks WHERE height <= ?", (mark,))
        execute("DELETE FROM signatures WHERE height < ?", (oldest_kept,))
        execute("DELETE FROM decisions WHERE height < ?", (oldest_kept,))
        for height, block_hash, *_ in self._select("decisions", "WHERE height <= ? AND block IS NOT NULL", mark):
            execute(
                "UPDATE decisions SET block = NULL, certificate = NULL, checksum = ? WHERE height = ?",
                (_checksum("decisions", (height, block_hash, None, None)), height),
            )

    def _select(self, table: str, clause: str = "", *values: object) -> list[tuple[Any, ...]]:
        """Checked rows without their checksum. ``clause`` is text of this file, never of a caller."""
        rows = self._connection.execute(f"{_TABLES[table]} {clause}", values).fetchall()
        for row in rows:
            if _checksum(table, row[:-1]) != row[-1]:
                raise DamageError(f"checksum of {table} row {row[0]}")
        return [row[:-1] for row in rows]


def _checksum(table: str, values: tuple[Any, ...]) -> int:
    return zlib.crc32(msgspec.msgpack.encode((table, *values)))


def _vote(row: tuple[Any, ...]) -> VoteCast:
    height, round_, kind, block_hash = row
    return VoteCast(kind, height, round_, block_hash)


def _lock(row: tuple[Any, ...]) -> LockTaken:
    height, block_hash, block, proof = row
    return LockTaken(height, block_hash, block, _proof("locks", height, proof))


def _decision(row: tuple[Any, ...]) -> tuple[int, str, BlockDecided | None]:
    height, block_hash, block, certificate = row
    if block is None:
        return height, block_hash, None
    proof = _proof("decisions", height, certificate)
    return height, block_hash, BlockDecided(height, block_hash, block, proof)


def _proof(table: str, height: int, encoded: bytes) -> QuorumProof:
    try:
        return msgspec.msgpack.decode(encoded, type=QuorumProof)
    except msgspec.MsgspecError as error:
        raise DamageError(f"proof of {table} row {height}: {error}") from error
