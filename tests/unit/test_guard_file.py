"""The guard's file against the world: moves, copies and damage."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signers.guard import Guard, GuardError
from tests.unit.guard_cases import (
    CHAIN,
    SIGNER,
    A,
    B,
    CountingSigner,
    code,
    cure,
    decision,
    killed,
    lock,
    open_guard,
    refused,
    sign,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


# --- the file itself


def test_the_files_are_private_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        with open_guard(path) as guard:
            guard.record([vote("prevote", 1, 0, A)])
            files = sorted(path.parent.iterdir())
            assert [file.name for file in files] == ["guard.db", "guard.db-wal", "guard.db.lock"]
            assert {file.stat().st_mode & 0o7777 for file in files} == {0o600}
    finally:
        os.umask(umask)


def test_every_commit_is_synchronous(path: Path) -> None:
    with open_guard(path) as guard:
        pragmas = {
            name: guard._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "locking_mode")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "locking_mode": "exclusive"}


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE votes SET block_hash = 'other'", "a vote is final"),
        ("UPDATE decisions SET block_hash = 'other'", "a decision is final"),
        ("UPDATE decisions SET height = 9", "a decision is final"),
        ("UPDATE signatures SET signature = x'00'", "a signature is final"),
        ("UPDATE meta SET value = '4' WHERE name = 'mark'", "the mark only rises"),
        ("INSERT INTO signatures VALUES (8, 'other', x'00', 0)", "FOREIGN KEY constraint failed"),
        ("INSERT INTO decisions VALUES (7, 'other', NULL, NULL, 0)", "UNIQUE constraint failed: decisions.height"),
        ("INSERT INTO votes VALUES (6, 0, 'veto', 'other', 0)", "CHECK constraint failed"),
    ],
)
def test_the_file_refuses_by_itself_what_must_not_happen(path: Path, statement: str, reason: str) -> None:
    with open_guard(path) as guard:
        guard.close_height(5)
        guard.record([vote("prevote", 6, 0, A), decision(7, 0, A), decision(8, 0, A)])
        sign(guard, 7, A)
        with pytest.raises(sqlite3.IntegrityError, match=reason):
            guard._connection.execute(statement)


def test_a_guard_in_no_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none" / "guard.db"
    assert refused(lambda: open_guard(path)) == (
        "write-failed",
        f"cannot open lock file {path}.lock: No such file or directory",
    )


def test_a_directory_is_no_guard(path: Path) -> None:
    path.mkdir()
    assert refused(lambda: open_guard(path)) == (
        "write-failed",
        f"cannot open guard file {path}: unable to open database file",
    )


def test_a_draft_left_by_a_crash_is_replaced(path: Path) -> None:
    path.with_name("guard.db.new").write_bytes(b"half a file")
    open_guard(path).close()
    assert not path.with_name("guard.db.new").exists()


def test_a_file_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    open_guard(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA user_version = 3")
    connection.close()
    assert refused(lambda: open_guard(path)) == (
        "newer-version",
        f"guard file {path} has version 3, this fedsm knows 2",
    )


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_moved_away_in_use_is_noticed(path: Path, suffix: str, replaced: bool) -> None:
    with open_guard(path) as guard:
        guard.record([decision(1, 0, A)])
        file = path.with_name(path.name + suffix)
        content = file.read_bytes()
        file.rename(file.with_name("moved"))
        if replaced:
            file.write_bytes(content)
        assert refused(lambda: sign(guard, 1, A)) == (
            "write-failed",
            f"guard file {path} was moved or replaced while in use; nothing was written",
        )
        if replaced:
            file.unlink()
        file.with_name("moved").rename(file)
        assert sign(guard, 1, A)


def test_a_file_copied_in_use_is_not_taken_for_the_whole(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    with open_guard(path) as guard:
        guard.record([vote("prevote", 1, 0, A)])
        shutil.copy(path, copy)
        shutil.copy(path.with_name("guard.db-wal"), tmp_path / "log")
    assert refused(lambda: open_guard(copy)) == cure(copy, "its log guard.db-wal is missing")
    (tmp_path / "log").rename(copy.with_name("guard.db-wal"))
    with open_guard(copy) as guard:
        assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)


def test_a_closed_file_is_complete_without_its_log(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([vote("prevote", 1, 0, A)])
    assert not path.with_name("guard.db-wal").exists()
    path = path.rename(path.with_name("moved.db"))
    with open_guard(path) as guard:
        assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)


def test_a_log_cleaned_away_after_a_kill_is_missed(path: Path) -> None:
    killed("vote-and-die", path)
    path.with_name("guard.db-wal").unlink()
    assert refused(lambda: open_guard(path)) == cure(path, "its log guard.db-wal is missing")


# --- damage


def filled(path: Path) -> bytes:
    """A guard file with something in every table, closed."""
    with open_guard(path) as guard:
        guard.close_height(1)
        guard.record([vote("prevote", 2, 0, A), lock(2, 0, A), vote("precommit", 2, 0, A), decision(2, 0, A)])
        sign(guard, 2, A)
    return path.read_bytes()


def _empty(_content: bytes) -> bytes:
    return b""


def _text(_content: bytes) -> bytes:
    return b"this is no database" * 100


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _scribbled_on(content: bytes) -> bytes:
    return content[:4096] + b"\xa5" * 4096 + content[8192:]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_empty, "it is empty"),
        (_text, "file is not a database"),
        (_half, "database disk image is malformed"),
    ],
)
def test_a_damaged_file_is_refused_with_the_cure(path: Path, damage: Callable[[bytes], bytes], reason: str) -> None:
    path.write_bytes(damage(filled(path)))
    for _ in range(2):
        assert refused(lambda: open_guard(path)) == cure(path, reason)


def test_a_file_with_a_broken_page_is_refused(path: Path) -> None:
    path.write_bytes(_scribbled_on(filled(path)))
    assert code(lambda: open_guard(path)) == "corrupt"


def test_another_sqlite_database_is_not_taken_for_a_guard(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE votes (x)")
    connection.close()
    assert refused(lambda: open_guard(path)) == cure(path, "it is not a guard file")


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_log_without_its_file_is_not_played_into_a_new_one(path: Path, suffix: str) -> None:
    path.with_name(path.name + suffix).write_bytes(b"something")
    assert refused(lambda: open_guard(path)) == cure(path, f"it is missing, but its log guard.db{suffix} is there")


@pytest.mark.parametrize("table", ["meta", "votes", "locks", "decisions", "signatures"])
def test_a_changed_value_is_noticed_though_the_database_is_sound(path: Path, table: str) -> None:
    filled(path)
    column = {"meta": "value", "signatures": "signature", "locks": "block"}.get(table, "block_hash")
    connection = sqlite3.connect(path, isolation_level=None)
    for trigger in ("votes_are_final", "decisions_are_final", "signatures_are_final", "mark_only_rises"):
        connection.execute(f"DROP TRIGGER {trigger}")
    new = "CAST('x' AS BLOB)" if column in ("block", "signature") else "'0'"
    connection.execute(f"UPDATE {table} SET {column} = {new}")  # noqa: S608 - names of this test
    first = connection.execute(f"SELECT * FROM {table}").fetchone()[0]  # noqa: S608
    connection.close()
    assert refused(lambda: open_guard(path)) == cure(path, f"checksum of {table} row {first}")


def test_any_single_flipped_bit_is_noticed_or_harmless(path: Path) -> None:
    content = filled(path)
    with open_guard(path) as guard:
        sound = guard.export()
    chance = random.Random(11)
    noticed = 0
    for _ in range(400):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            with open_guard(path) as guard:
                assert guard.export() == sound
        except GuardError as error:
            assert error.code in ("corrupt", "newer-version")  # noqa: PT017 - either answer is right
            noticed += 1
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
    assert noticed > 20


def test_damage_found_while_running_ends_all_work(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([decision(1, 0, A), vote("prevote", 1, 0, A)])
        guard._connection.execute("DROP TRIGGER decisions_are_final")
        guard._connection.execute("UPDATE decisions SET block_hash = ?", (B,))
        for call in (lambda: sign(guard, 1, B), lambda: guard.record([vote("prevote", 2, 0, A)]), guard.export):
            assert refused(call) == cure(path, "checksum of decisions row 1")


def test_after_the_cure_the_guard_works_with_what_the_export_knew(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([decision(1, 0, A)])
        signature = sign(guard, 1, A, CountingSigner())
        document = guard.export()
    path.write_bytes(b"damaged")
    assert code(lambda: open_guard(path)) == "corrupt"
    path.rename(path.with_name("damaged.db"))
    with Guard.open(path, CHAIN, SIGNER.public_key) as guard:
        guard.import_(document)
        assert sign(guard, 1, A, CountingSigner()) == signature
        assert code(lambda: sign(guard, 1, B)) == "conflicting-signature"
