"""One daemon per guard file and per key: locks, tools, forks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signers.guard import Guard, GuardError
from tests.unit.guard_cases import (
    CHAIN,
    OTHER_SIGNER,
    ROOT,
    SIGNER,
    A,
    code,
    command,
    cure,
    killed,
    open_guard,
    refused,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


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
