"""The guard's locks of reissuances: one draft for each asset and period, on disk before a signature leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from signers.ecdsa import verify_der
from signers.guard import Guard
from signers.guard_rows import KEPT_DRAFTS
from tests.unit.guard_cases import (
    ASSET,
    CHAIN,
    OTHER_ASSET,
    OTHER_SIGNER,
    A,
    block_hash,
    code,
    decision,
    draft,
    killed,
    open_guard,
    refused,
    sign,
    sign_draft,
    vote,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


@pytest.fixture
def guard(path: Path) -> Iterator[Guard]:
    with open_guard(path) as opened:
        yield opened


def test_one_draft_for_each_asset_and_period(guard: Guard) -> None:
    guard.record([draft(10, "A")])
    guard.record([draft(10, "A")])
    assert refused(lambda: guard.record([draft(10, "B")])) == (
        "conflicting-draft",
        f"asset {ASSET} height 10: {block_hash('A')} is locked, not {block_hash('B')}",
    )
    assert code(lambda: guard.record([draft(10, "A", index=1)])) == "conflicting-draft"
    assert guard.drafts(10) == (draft(10, "A"),)


def test_a_later_period_may_take_the_same_token_output_and_an_earlier_one_none(guard: Guard) -> None:
    """What spends the same output cannot confirm twice."""
    guard.record([draft(10, "A")])
    guard.record([draft(20, "B")])
    assert code(lambda: guard.record([draft(19, "C", index=2)])) == "old-draft"
    guard.record([draft(10, "A")])  # what is there may be written again
    assert [held.due_height for held in (*guard.drafts(10), *guard.drafts(20))] == [10, 20]


def test_a_token_output_serves_one_asset(guard: Guard) -> None:
    guard.record([draft(10, "A"), draft(10, "B", OTHER_ASSET, index=1)])
    assert code(lambda: guard.record([draft(20, "C", OTHER_ASSET, index=0)])) == "conflicting-draft"


def test_nothing_is_signed_but_what_is_locked(guard: Guard) -> None:
    assert code(lambda: sign_draft(guard, draft(10, "A"))) == "draft-not-locked"
    guard.record([draft(10, "A")])
    assert code(lambda: sign_draft(guard, draft(10, "B"))) == "conflicting-draft"
    assert code(lambda: sign_draft(guard, draft(10, "A", OTHER_ASSET))) == "draft-not-locked"


def test_the_key_that_signs_may_be_another_one_and_what_it_gives_is_verified(guard: Guard) -> None:
    class Faulty:
        public_key = OTHER_SIGNER.public_key

        def sign_block(self, digest: bytes, block: bytes) -> bytes:
            return OTHER_SIGNER.sign_block(bytes(32), block) if digest else b""

    guard.record([draft(10, "A")])
    signatures = sign_draft(guard, draft(10, "A"), OTHER_SIGNER)
    assert [verify_der(OTHER_SIGNER.public_key, bytes([i + 1]) * 32, der) for i, der in enumerate(signatures)] == [
        True,
        True,
    ]
    assert code(lambda: sign_draft(guard, draft(10, "A"), Faulty())) == "bad-signature"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"asset": "A5" * 32}, {"draft_id": "1"}, {"outpoint": "x:1"}, {"outpoint": "70" * 32}, {"due_height": 0}],
)
def test_malformed_locks_are_refused(guard: Guard, changes: dict[str, object]) -> None:
    assert code(lambda: guard.record([msgspec.structs.replace(draft(10, "A"), **changes)])) == "malformed"


def test_a_lock_not_committed_left_no_signature_and_may_be_another(path: Path) -> None:
    assert killed("lock-draft-but-die-before-commit", path) == ""
    with open_guard(path) as guard:
        assert guard.drafts(10) == ()
        guard.record([draft(10, "B")])


def test_after_a_crash_only_the_locked_draft_is_signed(path: Path) -> None:
    given = killed("sign-draft-and-die", path).split()
    with open_guard(path) as guard:
        assert [der.hex() for der in sign_draft(guard, draft(10, "A"))] == given
        assert code(lambda: guard.record([draft(10, "B")])) == "conflicting-draft"


def test_the_file_itself_refuses_to_change_or_go_back(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([draft(10, "A")])
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="is final"):
        connection.execute("UPDATE drafts SET draft_id = 'x'")
    with pytest.raises(sqlite3.IntegrityError, match="later periods"):
        connection.execute("INSERT INTO drafts VALUES (?, 9, 'x', 'y', x'00', 0)", (ASSET,))
    connection.close()


def test_a_file_of_the_first_version_is_brought_up_and_keeps_everything(path: Path) -> None:
    with open_guard(path) as guard:
        guard.record([vote("prevote", 2, 0, A), decision(2, 0, A)])
        signature = sign(guard, 2, A)
    connection = sqlite3.connect(path)
    connection.executescript("DROP TABLE drafts; PRAGMA user_version = 1")
    connection.close()
    with open_guard(path) as guard:
        assert sign(guard, 2, A) == signature
        assert guard.restore(2).votes == (vote("prevote", 2, 0, A),)
        guard.record([draft(10, "A")])
    with open_guard(path) as guard:
        assert guard.drafts(10) == (draft(10, "A"),)


def test_old_periods_are_dropped_but_never_come_back(guard: Guard) -> None:
    for period in range(1, KEPT_DRAFTS + 3):
        guard.record([draft(10 * period, "A")])
    assert guard.drafts(20) == ()
    assert guard.drafts(30) == (draft(30, "A"),)
    assert code(lambda: guard.record([draft(20, "B")])) == "old-draft"


# --- export and import


def test_locks_travel_with_an_export(tmp_path: Path, path: Path) -> None:
    document = exported(tmp_path, draft(10, "A"), draft(20, "B"), draft(20, "C", OTHER_ASSET, index=1))
    with open_guard(path) as guard:
        guard.import_(document)
        guard.import_(document)
        assert guard.export() == document
        assert not guard.is_empty
        assert code(lambda: guard.record([draft(20, "A")])) == "conflicting-draft"


def test_an_import_only_moves_forward(tmp_path: Path, guard: Guard) -> None:
    guard.record([draft(20, "A")])
    guard.import_(exported(tmp_path, draft(10, "B")))
    assert guard.drafts(10) == ()
    guard.import_(exported(tmp_path, draft(20, "A"), draft(30, "B")))
    assert code(lambda: guard.record([draft(29, "C")])) == "old-draft"
    assert code(lambda: guard.import_(exported(tmp_path, draft(30, "C")))) == "conflicting-draft"


def test_an_export_of_the_first_version_is_taken(tmp_path: Path, guard: Guard) -> None:
    document = exported(tmp_path)
    del document["drafts"]
    guard.import_(document | {"version": 1})
    assert guard.drafts(10) == ()


def exported(tmp_path: Path, *records: object) -> dict[str, object]:
    elsewhere = tmp_path / "elsewhere.db"
    with open_guard(elsewhere, chain=CHAIN[::-1]) as guard:
        guard.record(records)  # type: ignore[arg-type]
        document = guard.export()
    elsewhere.unlink()
    return document | {"chain": CHAIN}


# --- what a guard cannot know


def test_a_guard_made_in_the_middle_of_a_period_does_not_know_it(path: Path) -> None:
    with open_guard(path) as guard:
        guard.restore(14)
        assert [guard.knows_period(height) for height in (10, 13, 14, 20)] == [False, False, True, True]
    with open_guard(path) as guard:
        guard.record([decision(14, 0, A)])
        assert not guard.knows_period(10)


def test_a_guard_that_was_there_before_knows(guard: Guard) -> None:
    guard.restore(1)
    guard.close_height(0)
    assert guard.knows_period(10)
