"""The guard through kills at bad moments and full disks."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signers.ecdsa import verify_der
from states.memory import Memory
from tests.unit.guard_cases import (
    ROOT,
    SIGNER,
    A,
    B,
    CountingSigner,
    code,
    command,
    decision,
    killed,
    lock,
    open_guard,
    refused,
    run,
    sign,
    vote,
)

if TYPE_CHECKING:
    pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


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
