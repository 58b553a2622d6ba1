"""The guard's file against the world: second daemons, kills at bad moments, full disks and damage."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signers.ecdsa import verify_der
from signers.guard import Guard, GuardError
from states.memory import Memory
from tests.unit.guard_cases import (
    CHAIN,
    OTHER_SIGNER,
    SIGNER,
    A,
    B,
    CountingSigner,
    code,
    decision,
    lock,
    open_guard,
    refused,
    sign,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


def command(task: str, path: Path) -> list[str]:
    return [sys.executable, "-m", "tests.unit.guard_child", task, str(path), CHAIN]


def run(task: str, path: Path, *, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *command(task, path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def killed(task: str, path: Path) -> str:
    """What left a process that killed itself."""
    done = run(task, path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout


# --- one daemon


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the guard open."""
    with subprocess.Popen(command("hold", path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split()[:2] == ["open", str(process.pid)]
        yield process
        process.kill()


def test_a_second_daemon_on_the_file_is_refused_with_the_pid_of_the_first(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    message = f"guard file {path} is in use by process {holder.pid}; one daemon at a time may work with a key"
    assert refused(lambda: open_guard(path)) == ("in-use", message)
    assert refused(lambda: open_guard(path, OTHER_SIGNER)) == ("in-use", message)


def test_a_link_to_the_file_does_not_hide_it(tmp_path: Path, path: Path, holder: subprocess.Popen[str]) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    assert refused(lambda: open_guard(link))[1].startswith(f"guard file {path} is in use by process {holder.pid};")


def test_a_second_daemon_on_the_key_is_refused_with_the_pid_of_the_first(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    other = tmp_path / "other" / "guard.db"
    other.parent.mkdir()
    key = SIGNER.public_key.hex()
    message = f"key {key} is in use by process {holder.pid}; one daemon at a time may work with a key"
    for _ in range(3):
        assert refused(lambda: open_guard(other)) == ("in-use", message)
    assert not other.exists()


def test_other_keys_and_chains_do_not_disturb_each_other(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    with open_guard(tmp_path / "key.db", OTHER_SIGNER), open_guard(tmp_path / "chain.db", chain=CHAIN[::-1]):
        pass


def test_the_locks_die_with_their_process(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    open_guard(path).close()


def test_one_process_cannot_open_it_twice(path: Path) -> None:
    with open_guard(path):
        assert code(lambda: open_guard(path)) == "in-use"
    open_guard(path).close()


def test_a_failed_opening_leaves_no_lock(path: Path) -> None:
    path.write_bytes(b"")
    assert code(lambda: open_guard(path)) == "corrupt"
    path.unlink()
    open_guard(path).close()


def test_a_forked_child_may_not_use_its_parents_guard(path: Path) -> None:
    with open_guard(path) as guard:
        child = os.fork()
        if child == 0:
            try:
                guard.record([vote("prevote", 1, 0, A)])
            except GuardError as error:
                guard.close()
                os._exit(42 if error.code == "in-use" else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
        guard.record([vote("prevote", 1, 0, A)])
        assert code(lambda: open_guard(path)) == "in-use"


def test_another_program_reading_the_file_is_refused(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([vote("prevote", 1, 0, A)])
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM votes")
        other.close()


def test_a_file_open_in_another_program_is_refused(path: Path) -> None:
    open_guard(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert refused(lambda: open_guard(path)) == ("in-use", f"guard file {path} is open in another program")
    other.close()
    open_guard(path).close()


# --- tools, which do not know whose guard it is


def test_a_tool_opens_a_guard_by_its_path_even_after_a_kill(path: Path) -> None:
    killed("vote-and-die", path)
    with Guard.open_existing(path) as guard:
        assert (guard.chain, guard.public_key) == (CHAIN, SIGNER.public_key)
        assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)
    with open_guard(path) as guard:
        assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)


def test_a_tool_is_told_which_daemon_has_the_guard(path: Path, holder: subprocess.Popen[str]) -> None:
    assert refused(lambda: Guard.open_existing(path))[1].startswith(
        f"guard file {path} is in use by process {holder.pid};"
    )


def test_a_tool_makes_no_guard(path: Path) -> None:
    assert refused(lambda: Guard.open_existing(path)) == ("write-failed", f"there is no guard file {path}")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "no such table: meta"), (b"x" * 999, "file is not a database")]
)
def test_a_tool_refuses_what_is_no_guard(path: Path, content: bytes, reason: str) -> None:
    path.write_bytes(content)
    assert refused(lambda: Guard.open_existing(path)) == cure(path, reason)


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
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert refused(lambda: open_guard(path)) == (
        "newer-version",
        f"guard file {path} has version 2, this fedsm knows 1",
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


# --- kills


def test_a_vote_not_committed_never_left_and_may_be_another(path: Path) -> None:
    assert killed("vote-but-die-before-commit", path) == ""
    with open_guard(path) as guard:
        assert guard.restore(1).votes == ()
        guard.record([vote("prevote", 1, 0, B)])


def test_a_vote_that_left_is_remembered(path: Path) -> None:
    assert killed("vote-and-die", path) == f"prevote {A}\n"
    with open_guard(path) as guard:
        assert guard.restore(1) == Memory(1, (vote("prevote", 1, 0, A),))
        guard.record([vote("prevote", 1, 0, A)])
        assert code(lambda: guard.record([vote("prevote", 1, 0, B)])) == "conflicting-vote"


@pytest.mark.parametrize("task", ["sign-but-die-in-signer", "sign-but-die-before-commit"])
def test_a_signature_not_stored_never_left_and_only_its_block_can_be_signed(path: Path, task: str) -> None:
    assert killed(task, path) == ""
    with open_guard(path) as guard:
        assert guard.restore(1).decision == decision(1, 0, A)
        assert guard.export()["signatures"] == []
        assert code(lambda: sign(guard, 1, B)) == "conflicting-decision"
        assert verify_der(SIGNER.public_key, bytes.fromhex(A)[::-1], sign(guard, 1, A))


@pytest.mark.parametrize("task", ["sign-but-die-before-it-leaves", "sign-and-die"])
def test_a_signature_stored_is_given_again_and_no_other(path: Path, task: str) -> None:
    left = killed(task, path)
    expected = CountingSigner().signatures(bytes.fromhex(A)[::-1])[0]
    assert left in ("", expected.hex() + "\n")
    with open_guard(path) as guard:
        signer = CountingSigner()
        assert sign(guard, 1, A, signer) == expected
        assert signer.digests == []
        assert code(lambda: sign(guard, 1, B)) == "conflicting-signature"


def test_nothing_that_left_is_ever_contradicted_however_often_we_are_killed(path: Path) -> None:
    chance = random.Random(20)
    said: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for _ in range(12):
        with subprocess.Popen(
            command("work-until-killed", path), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline()]
            time.sleep(chance.uniform(0, 0.15))
            child.kill()
            lines += child.stdout.read().splitlines()
        for line in lines:
            kind, height, *rest = line.split()
            if kind != "refused":
                said[kind, height].add(tuple(rest))
    heights = {height for kind, height in said if kind == "signature"}
    assert len(heights) >= 12
    assert all(len(contents) == 1 for contents in said.values())
    with open_guard(path) as guard:
        for given in guard.export()["signatures"]:
            left = said.get(("signature", str(given["height"])))
            assert left in (None, {(given["block_hash"], given["signature"])})
            heights.discard(str(given["height"]))
    assert heights == set()


def test_a_torn_last_write_leaves_all_that_was_acknowledged_before(path: Path, tmp_path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    with open_guard(path) as guard:
        guard.record([vote("prevote", 1, 0, A)])
        acknowledged = wal.stat().st_size
        guard.record([lock(1, 0, A), vote("precommit", 1, 0, A)])
        main, log = path.read_bytes(), wal.read_bytes()
    chance = random.Random(7)
    for size in [acknowledged, len(log) - 1, *(chance.randint(acknowledged, len(log)) for _ in range(20))]:
        copy = tmp_path / f"copy{size}" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(main)
        copy.with_name(wal.name).write_bytes(log[:size])
        with open_guard(copy) as guard:
            memory = guard.restore(1)
        assert vote("prevote", 1, 0, A) in memory.votes
        assert (memory.lock is not None) == (vote("precommit", 1, 0, A) in memory.votes)
        shutil.rmtree(copy.parent)


# --- full disks

FULL = {
    "record": "write-failed",
    "sign": "write-failed",
    "signed by the key": 1,
    "close": "write-failed",
    "import": "write-failed",
    "known signature": True,
    "votes": 1,
    "signatures": 1,
    "create": "write-failed",
    "record again": "done",
    "sign again": "done",
    "votes after restart": 2,
    "signatures after restart": 2,
}


def test_when_files_cannot_grow_nothing_leaves_and_later_all_works(path: Path) -> None:
    done = run("run-out-of-file-size", path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == FULL


def test_on_a_full_disk_nothing_leaves_and_later_all_works(path: Path) -> None:
    """On a small tmpfs in the child's own mount namespace."""
    own_mounts = ("unshare", "--user", "--map-root-user", "--mount")
    if shutil.which("unshare") is None or subprocess.run([*own_mounts, "true"], check=False).returncode != 0:
        pytest.skip("no right to make a mount namespace")
    done = run("run-out-of-disk", path, prefix=own_mounts)
    if done.stdout == "no mount\n":
        pytest.skip("no right to mount a tmpfs")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == FULL


def test_a_file_closed_without_room_opens_again(path: Path) -> None:
    done = run("close-without-room", path)
    assert done.stdout == "closed\n", done.stderr
    with open_guard(path) as guard:
        assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)
    assert not path.with_name("guard.db-wal").exists()


def test_a_full_database_is_refused_in_words(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([decision(1, 0, A)])
        pages = guard._connection.execute("PRAGMA page_count").fetchone()[0]
        guard._connection.execute(f"PRAGMA max_page_count = {pages}")
        large = [vote("prevote", 2, round_, A) for round_ in range(200)]
        assert refused(lambda: guard.record(large)) == (
            "write-failed",
            f"guard file {path}: database or disk is full; nothing was signed or changed",
        )
        assert guard.restore(2).votes == ()
        guard._connection.execute(f"PRAGMA max_page_count = {pages + 100}")
        guard.record(large)
        assert len(guard.restore(2).votes) == 200


# --- damage


def cure(path: Path, reason: str) -> tuple[str, str]:
    advice = (
        f"move {path.name} and {path.name}-wal away, then restore the newest export with: fedsm guard import FILE"
    )
    return "corrupt", f"guard file {path} is damaged ({reason}): {advice}"


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
