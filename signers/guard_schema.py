"""The guard's SQLite file: layout, creation, opening with its checks, and transactions.

WAL with synchronous=FULL: a transaction is on the disk when COMMIT returns. The file refuses by itself, whatever
the program does, to change a vote or signature, to hold a signature for an undecided block, or to lower the mark.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from signers.guard_codes import GuardError
from signers.guard_rows import DamageError, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_VERSION: Final = 2
FIRST_VERSION: Final = 1  # without the locks of reissuances
_APPLICATION_ID: Final = 0x66736D67  # "fsmg", in the SQLite header
_WAL_LIMIT_BYTES: Final = 16 * 1024 * 1024
_BUSY_SECONDS: Final = 1.0
# SQLITE_ERROR: a table or column that create() made is not there
_DAMAGE_CODES: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
FAILURES: Final = (sqlite3.Error, DamageError, UnicodeDecodeError)

_DRAFTS = """
CREATE TABLE drafts (
    asset TEXT NOT NULL, due_height INTEGER NOT NULL,
    draft_id TEXT NOT NULL, outpoint TEXT NOT NULL, draft BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (asset, due_height)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER drafts_are_final BEFORE UPDATE ON drafts
    BEGIN SELECT RAISE(ABORT, 'the lock of a reissuance is final'); END;
CREATE TRIGGER drafts_only_rise BEFORE INSERT ON drafts
    WHEN EXISTS (SELECT 1 FROM drafts WHERE asset = new.asset AND due_height >= new.due_height)
    BEGIN SELECT RAISE(ABORT, 'reissuances only move to later periods'); END;
"""

_LAYOUT = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE votes (
    height INTEGER NOT NULL, round INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('proposal', 'prevote', 'precommit')),
    block_hash TEXT, checksum INTEGER NOT NULL,
    PRIMARY KEY (height, round, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE locks (
    height INTEGER PRIMARY KEY, block_hash TEXT NOT NULL,
    block BLOB NOT NULL, proof BLOB NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE decisions (
    height INTEGER PRIMARY KEY, block_hash TEXT NOT NULL,
    block BLOB, certificate BLOB, checksum INTEGER NOT NULL,
    UNIQUE (height, block_hash)
) STRICT;
CREATE TABLE signatures (
    height INTEGER PRIMARY KEY, block_hash TEXT NOT NULL,
    signature BLOB NOT NULL, checksum INTEGER NOT NULL,
    FOREIGN KEY (height, block_hash) REFERENCES decisions (height, block_hash)
) STRICT;
CREATE TRIGGER votes_are_final BEFORE UPDATE ON votes
    BEGIN SELECT RAISE(ABORT, 'a vote is final'); END;
CREATE TRIGGER decisions_are_final BEFORE UPDATE OF height, block_hash ON decisions
    BEGIN SELECT RAISE(ABORT, 'a decision is final'); END;
CREATE TRIGGER signatures_are_final BEFORE UPDATE ON signatures
    BEGIN SELECT RAISE(ABORT, 'a signature is final'); END;
CREATE TRIGGER mark_only_rises BEFORE UPDATE ON meta
    WHEN old.name = 'mark' AND CAST(new.value AS INTEGER) < CAST(old.value AS INTEGER)
    BEGIN SELECT RAISE(ABORT, 'the mark only rises'); END;
"""


def create(path: Path, chain: str, public_key: bytes) -> None:
    """Make a new, empty guard file, all at once: it appears under its name complete and durable, or not at all.

    Raises GuardError ``write-failed``, or ``corrupt`` if the write-ahead log of a vanished file is still there.
    """
    for suffix in ("-wal", "-journal"):  # SQLite would play an orphaned log back into the new file
        if _sibling(path, suffix).exists():
            raise corrupt(path, f"it is missing, but its log {path.name}{suffix} is there")
    draft = _sibling(path, ".new")
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(draft, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")  # a draft needs no rollback after a crash
            connection.execute("PRAGMA synchronous = FULL")
            lay_out(connection, chain, public_key)
        finally:
            connection.close()
        draft.rename(path)
        _sync_directory(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise GuardError("write-failed", f"cannot create guard file {path}: {_reason(error)}") from error


def lay_out(connection: sqlite3.Connection, chain: str, public_key: bytes) -> None:
    """Make the tables of an empty database, in one transaction."""
    connection.executescript(f"BEGIN; PRAGMA application_id = {_APPLICATION_ID}; {_LAYOUT} {_DRAFTS}")
    rows = Rows(connection)
    rows.set_meta("chain", chain)
    rows.set_meta("public_key", public_key.hex())
    connection.execute(f"PRAGMA user_version = {FILE_VERSION}")
    connection.execute("COMMIT")


def connect(path: Path, chain: str, public_key: bytes) -> sqlite3.Connection:
    """Open a guard file for this chain and key and check all of it. Raises GuardError."""
    log_is_there = _sibling(path, "-wal").exists()
    try:
        if path.stat().st_size == 0:
            raise corrupt(path, "it is empty")
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_SECONDS,
        )
    except (OSError, sqlite3.Error) as error:
        raise GuardError("write-failed", f"cannot open guard file {path}: {_reason(error)}") from error
    try:
        _configure(connection)
        _check_file(connection, path)
        _check_owner(Rows(connection), path, chain, public_key)
        _begin_session(connection, path, log_is_there=log_is_there)
    except FAILURES as error:
        connection.close()
        raise explain(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def disconnect(connection: sqlite3.Connection, path: Path) -> None:
    """Close a guard file, so that it is complete without its log."""
    try:
        with transaction(connection):
            Rows(connection).set_meta("session", "closed")
    except FAILURES:
        connection.close()
        _sibling(path, "-wal").touch(mode=0o600)  # the session still counts as open; see _begin_session
    else:
        connection.close()


def _begin_session(connection: sqlite3.Connection, path: Path, *, log_is_there: bool) -> None:
    """Note in the file itself, not only in its log, that it is in use and therefore incomplete without the log.

    SQLite takes a file without its log for the whole truth; what a copy of the bare file, or a log cleaned away
    after a crash, would forget are our latest votes.
    """
    rows = Rows(connection)
    if rows.meta("session") == "open":
        if not log_is_there:
            raise corrupt(path, f"its log {path.name}-wal is missing")
        return
    with transaction(connection):
        rows.set_meta("session", "open")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def owner(path: Path) -> tuple[str, bytes]:
    """The chain (display hex) and public key that a guard file says it belongs to; nothing is checked or changed.

    Raises GuardError.
    """
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        try:
            rows = Rows(connection)
            return rows.meta("chain") or "", bytes.fromhex(rows.meta("public_key") or "")
        finally:
            connection.close()
    except (sqlite3.Error, DamageError, ValueError) as error:
        raise explain(path, error) from error


def _configure(connection: sqlite3.Connection) -> None:
    # damaged text is to be found by its checksum, not to raise on its way there
    connection.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # no other program reads or writes it meanwhile
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise corrupt(path, "it is not a guard file")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FILE_VERSION:
        raise GuardError(
            "newer-version", f"guard file {path} has version {version}, this fedsm knows {FILE_VERSION}"
        )
    if version < FIRST_VERSION:
        raise corrupt(path, f"there is no version {version}")
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        raise corrupt(path, " ".join(verdict.split()))
    if version == FIRST_VERSION:
        _upgrade(connection)
    Rows(connection).verify()


def _upgrade(connection: sqlite3.Connection) -> None:
    """Bring a file of the first version to the present one, at once or not at all; nothing in it is changed."""
    connection.executescript(f"BEGIN IMMEDIATE; {_DRAFTS} PRAGMA user_version = {FILE_VERSION}; COMMIT")


def _check_owner(rows: Rows, path: Path, chain: str, public_key: bytes) -> None:
    if rows.meta("chain") != chain:
        raise GuardError("wrong-chain", f"guard file {path} is of chain {rows.meta('chain')}, not {chain}")
    if rows.meta("public_key") != public_key.hex():
        raise GuardError(
            "wrong-key", f"guard file {path} is of key {rows.meta('public_key')}, not {public_key.hex()}"
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, durable when the block is left without an exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back by itself after most failures to write
            connection.execute("ROLLBACK")
        raise


def explain(path: Path, error: Exception) -> GuardError:
    """The refusal that stands for one of FAILURES."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, UnicodeDecodeError):
        return corrupt(path, "text that is not UTF-8")
    if isinstance(error, DamageError) or primary in _DAMAGE_CODES:
        return corrupt(path, str(error))
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return GuardError("in-use", f"guard file {path} is open in another program")
    return GuardError("write-failed", f"guard file {path}: {error}; nothing was signed or changed")


def corrupt(path: Path, reason: str) -> GuardError:
    """Refusal ``corrupt`` with what to do about it."""
    return GuardError(
        "corrupt",
        f"guard file {path} is damaged ({reason}): move {path.name} and {path.name}-wal away,"
        " then restore the newest export with: fedsm guard import FILE",
    )


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError | sqlite3.Error) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
