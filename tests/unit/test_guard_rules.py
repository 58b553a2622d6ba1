"""What may be recorded, and what is refused with which words."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from signers.guard import Guard
from signers.guard_codes import MEANINGS, GuardCode
from signers.guard_exchange import KEPT_HEIGHTS
from states.memory import BlockDecided, LockTaken, Memory, Record, VoteCast
from tests.unit.guard_cases import (
    A,
    B,
    C,
    body,
    code,
    decision,
    lock,
    open_guard,
    proof,
    refused,
    sign,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


@pytest.fixture
def guard(path: Path) -> Iterator[Guard]:
    with open_guard(path) as opened:
        yield opened


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(get_args(GuardCode))


# --- votes


@pytest.mark.parametrize("kind", ["proposal", "prevote", "precommit"])
@pytest.mark.parametrize(("first", "second"), [(A, B), (None, A), (A, None)])
def test_a_second_different_vote_is_refused(guard: Guard, kind: str, first: str | None, second: str | None) -> None:
    if kind == "proposal" and None in (first, second):
        return
    if kind == "precommit":
        guard.record([lock(1, 0, A)])
    guard.record([vote(kind, 1, 0, first)])
    assert code(lambda: guard.record([vote(kind, 1, 0, second)])) == "conflicting-vote"
    assert guard.restore(1).votes == (vote(kind, 1, 0, first),)


def test_a_conflicting_vote_is_named(guard: Guard) -> None:
    guard.record([vote("prevote", 5, 2, None)])
    assert refused(lambda: guard.record([vote("prevote", 5, 2, A)])) == (
        "conflicting-vote",
        f"height 5 round 2 prevote: we voted for nil, not for {A}",
    )


def test_equal_records_may_be_written_again(guard: Guard) -> None:
    records: list[Record] = [vote("proposal", 1, 0, A), vote("prevote", 1, 0, A), vote("precommit", 1, 0, A)]
    for _ in range(2):
        guard.record([*records, lock(1, 0, A), decision(1, 0, A)])
    assert guard.restore(1) == Memory(
        1,
        (vote("precommit", 1, 0, A), vote("prevote", 1, 0, A), vote("proposal", 1, 0, A)),
        lock(1, 0, A),
        decision(1, 0, A),
    )


def test_kinds_rounds_and_heights_are_apart(guard: Guard) -> None:
    guard.record([vote("proposal", 1, 0, A), vote("prevote", 1, 0, B), vote("prevote", 1, 1, C)])
    guard.record([vote("prevote", 2, 0, C), vote("precommit", 1, 1, None)])
    assert len(guard.restore(1).votes) == 4
    assert guard.restore(2).votes == (vote("prevote", 2, 0, C),)


def test_records_are_written_all_or_none(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 0, A)])
    assert code(lambda: guard.record([vote("prevote", 1, 1, A), vote("prevote", 1, 0, B)])) == "conflicting-vote"
    assert guard.restore(1).votes == (vote("prevote", 1, 0, A),)


def test_no_vote_for_a_block_in_a_round_before_the_latest(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 3, None)])
    assert refused(lambda: guard.record([vote("prevote", 1, 2, A)])) == (
        "old-round",
        "height 1 round 2 prevote: we voted in round 3 already",
    )
    assert code(lambda: guard.record([lock(1, 2, A), vote("precommit", 1, 2, A)])) == "old-round"
    guard.record([vote("prevote", 1, 2, None), vote("precommit", 1, 2, None), vote("prevote", 2, 0, A)])


def test_an_equal_vote_of_an_old_round_may_be_written_again(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 0, A)])
    guard.record([vote("prevote", 1, 1, None)])
    guard.record([vote("prevote", 1, 0, A)])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (vote("vote", 1, 0, A), "no such vote: 'vote' in round 0"),
        (vote("prevote", 1, -1, A), "no such vote: 'prevote' in round -1"),
        (vote("prevote", 1, 2**32, A), "no such vote: 'prevote' in round 4294967296"),
        (vote("prevote", 0, 0, A), "no such height: 0"),
        (vote("prevote", -1, 0, A), "no such height: -1"),
        (vote("prevote", 2**64, 0, A), "no such height: 18446744073709551616"),
        (vote("prevote", 1, 0, A.upper()), f"not a block hash: '{A.upper()}'"),
        (vote("prevote", 1, 0, A[:-1]), f"not a block hash: '{A[:-1]}'"),
        (vote("prevote", 1, 0, A + "\n"), f"not a block hash: '{A}\\n'"),
        (vote("proposal", 1, 0, None), "not a block hash: None"),
        (
            LockTaken(1, A, b"", proof("precommit", 1, 0, A)),
            "height 1: the lock's proof is not of prevotes for its block",
        ),
        (
            LockTaken(1, A, b"", proof("prevote", 2, 0, A)),
            "height 1: the lock's proof is not of prevotes for its block",
        ),
        (
            LockTaken(1, A, b"", proof("prevote", 1, 0, B)),
            "height 1: the lock's proof is not of prevotes for its block",
        ),
        (
            LockTaken(1, A, b"", proof("prevote", 1, -1, A)),
            "height 1: the lock's proof is not of prevotes for its block",
        ),
    ],
)
def test_malformed_records_are_refused(guard: Guard, record: VoteCast | LockTaken, message: str) -> None:
    assert refused(lambda: guard.record([record])) == ("malformed", message)
    assert guard.is_empty


# --- locks


def test_a_precommit_needs_the_lock(guard: Guard) -> None:
    assert refused(lambda: guard.record([vote("precommit", 1, 0, A)])) == (
        "vote-against-lock",
        f"height 1 round 0 precommit: no lock was taken on {A}",
    )


def test_a_precommit_may_come_with_or_after_its_lock(guard: Guard) -> None:
    guard.record([vote("precommit", 1, 0, A), lock(1, 0, A)])
    guard.record([lock(2, 0, A)])
    guard.record([vote("precommit", 2, 0, A)])


@pytest.mark.parametrize(("round_", "hash_"), [(1, B), (2, A), (2, B)])
def test_a_precommit_needs_the_lock_of_its_block_and_round(guard: Guard, round_: int, hash_: str) -> None:
    guard.record([lock(1, 1, A)])
    assert refused(lambda: guard.record([vote("precommit", 1, round_, hash_)])) == (
        "vote-against-lock",
        f"height 1 round {round_} precommit: the lock is on {A} since round 1, not on {hash_} in round {round_}",
    )


def test_a_precommit_for_nil_needs_no_lock(guard: Guard) -> None:
    guard.record([lock(1, 0, A), vote("precommit", 1, 0, A)])
    guard.record([vote("precommit", 1, 1, None)])


def test_a_prevote_for_another_block_than_the_lock_is_for_the_core_to_judge(guard: Guard) -> None:
    guard.record([lock(1, 0, A), vote("precommit", 1, 0, A)])
    guard.record([vote("prevote", 1, 1, B)])


def test_a_lock_moves_to_later_rounds_only(guard: Guard) -> None:
    guard.record([lock(1, 1, A)])
    assert refused(lambda: guard.record([lock(1, 1, B)])) == (
        "conflicting-lock",
        f"height 1 round 1 lock: held on {A}, not {B}",
    )
    assert refused(lambda: guard.record([lock(1, 0, A)])) == (
        "conflicting-lock",
        "height 1 round 0 lock: held since the later round 1",
    )
    guard.record([lock(1, 2, B)])
    guard.record([lock(1, 2, B), vote("precommit", 1, 2, B)])
    assert guard.restore(1).lock == lock(1, 2, B)


# --- decisions


def test_a_height_has_one_decision(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    guard.record([decision(1, 4, A)])
    assert refused(lambda: guard.record([decision(1, 4, B)])) == (
        "conflicting-decision",
        f"height 1 decision: {A} is decided, not {B}",
    )
    assert guard.restore(1).decision == decision(1, 0, A)


def test_no_vote_for_another_block_once_one_is_decided(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 0, B), decision(1, 0, A)])
    guard.record([vote("prevote", 1, 0, B), vote("prevote", 1, 1, A), vote("prevote", 1, 2, None)])
    assert refused(lambda: guard.record([vote("prevote", 1, 3, B)])) == (
        "conflicting-decision",
        f"height 1 round 3 prevote: {A} is decided, no vote for {B}",
    )


@pytest.mark.parametrize(
    "certificate",
    [
        proof("prevote", 1, 0, A),
        proof("precommit", 2, 0, A),
        proof("precommit", 1, 0, B),
        proof("precommit", 1, -1, A),
    ],
)
def test_a_decision_needs_a_certificate_for_it(guard: Guard, certificate: object) -> None:
    record = BlockDecided(1, A, body("A"), certificate)  # type: ignore[arg-type]
    assert refused(lambda: guard.record([record])) == (
        "bad-certificate",
        f"height 1: the certificate is not of precommits for {A}",
    )
    assert code(lambda: sign(guard, 1, A)) == "not-decided"


# --- the mark


def test_nothing_happens_at_or_below_the_mark(guard: Guard) -> None:
    guard.record([decision(4, 0, A), decision(5, 0, A), vote("prevote", 6, 0, A)])
    guard.close_height(5)
    for late in (vote("prevote", 5, 9, None), vote("prevote", 4, 9, None), lock(5, 0, A), decision(5, 0, A)):
        assert refused(partial(guard.record, [late])) == ("below-mark", f"height {late.height} is closed (mark 5)")
    assert refused(lambda: sign(guard, 5, A)) == ("below-mark", "height 5 is closed (mark 5)")
    guard.record([vote("prevote", 6, 1, A)])


def test_the_mark_never_sinks(guard: Guard) -> None:
    assert guard.mark is None
    for height, mark in ((7, 7), (3, 7), (0, 7), (8, 8)):
        guard.close_height(height)
        assert guard.mark == mark


@pytest.mark.parametrize("height", [-1, 2**32])
def test_a_mark_out_of_range_is_refused(guard: Guard, height: int) -> None:
    assert refused(lambda: guard.close_height(height)) == ("malformed", f"no such height: {height}")


def test_closing_drops_votes_and_blocks_but_not_the_signature(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 0, A), lock(1, 0, A), vote("precommit", 1, 0, A), decision(1, 0, A)])
    signature = sign(guard, 1, A)
    guard.record([vote("prevote", 2, 0, B), lock(2, 0, B)])
    guard.close_height(1)
    assert guard.restore(1) == Memory(1)
    assert guard.restore(2) == Memory(2, (vote("prevote", 2, 0, B),), lock(2, 0, B))
    assert sign(guard, 1, A) == signature
    assert code(lambda: sign(guard, 1, B)) == "conflicting-signature"
    assert [entry["record"] for entry in guard.export()["decisions"]] == [None]


def test_decisions_and_signatures_are_kept_for_a_while_only(guard: Guard) -> None:
    guard.record([decision(1, 0, A), decision(2, 0, A)])
    signature = sign(guard, 1, A)
    guard.close_height(KEPT_HEIGHTS)
    assert sign(guard, 1, A) == signature
    guard.close_height(KEPT_HEIGHTS + 1)
    assert code(lambda: sign(guard, 1, A)) == "below-mark"
    assert [entry["height"] for entry in guard.export()["decisions"]] == [2]


# --- empty guards


def test_an_empty_guard_says_so(guard: Guard) -> None:
    assert guard.is_empty
    assert guard.restore(3) == Memory(3, fresh=True)
    assert guard.is_empty


@pytest.mark.parametrize(
    "record", [vote("prevote", 1, 0, None), lock(1, 0, A), decision(1, 0, A)], ids=["vote", "lock", "decision"]
)
def test_a_record_makes_it_not_empty(guard: Guard, record: VoteCast) -> None:
    guard.record([record])
    assert not guard.is_empty


def test_a_mark_makes_it_not_empty(guard: Guard) -> None:
    guard.close_height(0)
    assert not guard.is_empty


def test_only_the_first_height_an_empty_guard_sees_is_doubtful(guard: Guard) -> None:
    assert guard.restore(100).fresh
    guard.close_height(100)
    assert not guard.restore(101).fresh


def test_closing_the_tip_first_does_not_hide_that_the_guard_was_empty(guard: Guard) -> None:
    guard.close_height(99)
    assert guard.restore(100).fresh
    guard.close_height(100)
    assert not guard.restore(101).fresh


def test_a_restart_at_the_first_height_does_not_turn_ignorance_into_knowledge(path: Path) -> None:
    for _ in range(2):
        with open_guard(path) as guard:
            guard.close_height(99)
            assert guard.restore(100).fresh
            guard.record([decision(100, 0, A)])
    with open_guard(path) as guard:
        assert guard.restore(100) == Memory(100, decision=decision(100, 0, A), fresh=True)


def test_an_empty_guard_that_was_away_doubts_the_height_it_finds(path: Path) -> None:
    for height in (100, 250):
        with open_guard(path) as guard:
            assert guard.restore(height).fresh
    with open_guard(path) as guard:
        assert guard.restore(200).fresh


def test_own_votes_end_the_doubt(guard: Guard) -> None:
    assert guard.restore(1).fresh
    guard.record([vote("prevote", 1, 0, A)])
    assert not guard.restore(1).fresh
