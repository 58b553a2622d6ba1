"""Export and import: lossless, never lowering a mark, all or nothing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from signers.guard import Guard
from states.memory import Memory
from tests.unit.guard_cases import (
    CHAIN,
    OTHER_SIGNER,
    SIGNER,
    A,
    B,
    C,
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

    from states.memory import Record


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path / "guard.db") as opened:
        yield opened


def exported(tmp_path: Path, fill: Callable[[Guard], object]) -> dict[str, Any]:
    """The export of a guard elsewhere, after ``fill``, as it is read from a file.

    One process cannot hold two guards of one key and chain, so it is made on another chain and then renamed.
    """
    path = tmp_path / "elsewhere.db"
    with open_guard(path, chain=CHAIN[::-1]) as elsewhere:
        fill(elsewhere)
        document = elsewhere.export()
    path.unlink()
    read: dict[str, Any] = json.loads(json.dumps(document))
    assert read == document
    return read | {"chain": CHAIN}


def full(guard: Guard) -> None:
    """A closed height with its signature, a decided one, and one in the middle of voting."""
    guard.record([decision(1, 0, A)])
    sign(guard, 1, A)
    guard.close_height(1)
    guard.record([vote("proposal", 2, 0, B), vote("prevote", 2, 0, B), lock(2, 0, B), vote("precommit", 2, 0, B)])
    guard.record([vote("prevote", 2, 1, None), decision(2, 0, B)])
    sign(guard, 2, B)
    guard.record([vote("prevote", 3, 0, C)])


def recording(*records: Record) -> Callable[[Guard], None]:
    return lambda guard: guard.record(records)


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return exported(tmp_path, full)


def test_an_import_into_an_empty_guard_restores_everything(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "new.db"
    with open_guard(path) as guard:
        guard.import_(document)
        assert guard.export() == document
    with open_guard(path) as guard:
        assert guard.export() == document
        assert guard.mark == 1
        memory = guard.restore(2)
        assert (memory.lock, memory.decision, memory.fresh) == (lock(2, 0, B), decision(2, 0, B), False)
        assert len(memory.votes) == 4
        assert sign(guard, 1, A) == SIGNER.sign_block(bytes.fromhex(A)[::-1], b"")
        assert code(lambda: guard.record([vote("prevote", 3, 0, A)])) == "conflicting-vote"


def test_an_import_may_be_repeated(guard: Guard, document: dict[str, Any]) -> None:
    for _ in range(2):
        guard.import_(document)
    assert guard.export() == document


def test_the_document_names_its_format(document: dict[str, Any]) -> None:
    assert {key: document[key] for key in ("format", "version", "chain", "public_key", "mark")} == {
        "format": "fedsm-guard",
        "version": 2,
        "chain": CHAIN,
        "public_key": SIGNER.public_key.hex(),
        "mark": 1,
    }


def test_a_mark_is_never_lowered(guard: Guard, document: dict[str, Any]) -> None:
    guard.close_height(10)
    guard.import_(document)
    assert guard.mark == 10
    assert guard.restore(3) == Memory(3)
    assert code(lambda: guard.record([vote("prevote", 3, 0, A)])) == "below-mark"
    assert sign(guard, 2, B)


def test_votes_at_heights_closed_here_are_not_taken_in(tmp_path: Path, guard: Guard) -> None:
    guard.close_height(2)
    guard.import_(exported(tmp_path, recording(vote("prevote", 2, 0, A), lock(2, 0, A), decision(2, 0, A))))
    assert guard.restore(2) == Memory(2)
    document = guard.export()
    assert (document["votes"], document["locks"]) == ([], [])
    assert document["decisions"] == [{"height": 2, "block_hash": A, "record": None}]


def test_a_mark_is_raised_and_closes_what_is_below(tmp_path: Path, guard: Guard) -> None:
    guard.record([vote("prevote", 5, 0, A), lock(5, 0, A), vote("prevote", 6, 0, B)])
    guard.import_(exported(tmp_path, lambda elsewhere: elsewhere.close_height(5)))
    assert guard.mark == 5
    assert guard.restore(5) == Memory(5)
    assert guard.restore(6).votes == (vote("prevote", 6, 0, B),)


def test_an_imported_guard_is_not_fresh_but_an_empty_document_teaches_nothing(tmp_path: Path, guard: Guard) -> None:
    guard.import_(exported(tmp_path, lambda _: None))
    assert guard.is_empty
    assert guard.restore(2).fresh
    guard.import_(exported(tmp_path, lambda elsewhere: elsewhere.close_height(1)))
    assert not guard.restore(2).fresh


CONFLICTS = {
    "vote": (
        recording(vote("prevote", 2, 0, A)),
        recording(vote("prevote", 1, 0, C), vote("prevote", 2, 0, B)),
        ("conflicting-vote", f"height 2 round 0 prevote: we voted for {A}, not for {B}"),
    ),
    "nil vote": (
        recording(vote("precommit", 2, 3, None)),
        recording(vote("prevote", 1, 0, C), lock(2, 3, B), vote("precommit", 2, 3, B)),
        ("conflicting-vote", f"height 2 round 3 precommit: we voted for nil, not for {B}"),
    ),
    "lock": (
        recording(lock(2, 1, A)),
        recording(vote("prevote", 1, 0, C), lock(2, 1, B)),
        ("conflicting-lock", f"height 2 round 1 lock: held on {A}, not {B}"),
    ),
    "decision": (
        recording(decision(2, 0, A)),
        recording(vote("prevote", 1, 0, C), decision(2, 0, B)),
        ("conflicting-decision", f"height 2 decision: {A} is decided, not {B}"),
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_a_conflict_is_named_and_nothing_is_imported(tmp_path: Path, guard: Guard, case: str) -> None:
    held, imported, refusal = CONFLICTS[case]
    held(guard)
    before = guard.export()
    document = exported(tmp_path, imported)
    assert refused(lambda: guard.import_(document)) == refusal
    assert guard.export() == before


def test_a_conflict_at_a_closed_height_is_refused_too(guard: Guard, document: dict[str, Any]) -> None:
    guard.record([decision(2, 0, A)])
    sign(guard, 2, A)
    guard.close_height(9)
    assert refused(lambda: guard.import_(document)) == (
        "conflicting-decision",
        f"height 2 decision: {A} is decided, not {B}",
    )
    assert guard.mark == 9


def test_the_later_lock_is_kept(tmp_path: Path, guard: Guard) -> None:
    guard.record([lock(2, 1, A), lock(3, 1, A)])
    guard.import_(exported(tmp_path, recording(lock(2, 0, B), lock(3, 2, B))))
    assert guard.restore(2).lock == lock(2, 1, A)
    assert guard.restore(3).lock == lock(3, 2, B)


def test_another_signature_of_the_same_block_does_not_replace_ours(guard: Guard, document: dict[str, Any]) -> None:
    guard.record([decision(2, 0, B)])
    ours = sign(guard, 2, B)
    document["signatures"][1]["signature"] = CountingSigner().signatures(bytes.fromhex(B)[::-1])[1].hex()
    guard.import_(document)
    assert sign(guard, 2, B) == ours


def test_other_chains_keys_and_versions_are_refused(guard: Guard, document: dict[str, Any]) -> None:
    other = OTHER_SIGNER.public_key.hex()
    assert refused(lambda: guard.import_(document | {"chain": "00" * 32})) == (
        "wrong-chain",
        f"the export is of chain {'00' * 32}, not {CHAIN}",
    )
    assert refused(lambda: guard.import_(document | {"public_key": other})) == (
        "wrong-key",
        f"the export is of key {other}, not {SIGNER.public_key.hex()}",
    )
    assert refused(lambda: guard.import_(document | {"version": 3, "news": []})) == (
        "newer-version",
        "the export has version 3, this fedsm knows 2",
    )
    assert guard.is_empty


def changed(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def without(table: str, index: int) -> Callable[[dict[str, Any]], None]:
    return lambda document: document[table].pop(index)


DAMAGE = {
    "no format": (changed("format", to="x"), "not a guard export: Invalid enum value 'x' - at `$.format`"),
    "unknown field": (
        changed("extra", to=1),
        "not a guard export: Object contains unknown field `extra`",
    ),
    "mark as text": (changed("mark", to="9"), "not a guard export: Expected `int | null`, got `str` - at `$.mark`"),
    "negative mark": (changed("mark", to=-5), "the export has mark -5"),
    "vote kind": (changed("votes", 0, "kind", to="veto"), "no such vote: 'veto' in round 0"),
    "vote hash": (changed("votes", 0, "block_hash", to="AB"), "not a block hash: 'AB'"),
    "vote below mark": (changed("mark", to=2), "the export speaks of height 2, closed by mark 2"),
    "lost lock": (without("locks", 0), "height 2 round 0 precommit: its lock is missing"),
    "lock of another block": (
        changed("locks", 0, "block_hash", to=A),
        "height 2: the lock's proof is not of prevotes for its block",
    ),
    "lost block": (
        changed("decisions", 1, "record", to=None),
        "height 2 decision: block and certificate are missing",
    ),
    "record of another block": (
        changed("decisions", 1, "block_hash", to=A),
        "height 2 decision: its record is of another block",
    ),
    "lost decision": (without("decisions", 0), "height 1 signature: its decision is missing"),
    "signature of another block": (
        changed("signatures", 0, "block_hash", to=B),
        "height 1 signature: its decision is missing",
    ),
    "signature in no hex": (
        changed("signatures", 0, "signature", to="xx"),
        "height 1 signature: it does not verify",
    ),
    "wrong signature": (changed("signatures", 0, "signature", to="3006"), "height 1 signature: it does not verify"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_document_is_refused_as_a_whole(guard: Guard, document: dict[str, Any], case: str) -> None:
    change, message = DAMAGE[case]
    damaged = copy.deepcopy(document)
    change(damaged)
    assert refused(lambda: guard.import_(damaged)) == ("malformed", message)
    assert guard.is_empty


def test_a_certificate_for_nothing_is_refused(guard: Guard, document: dict[str, Any]) -> None:
    document["decisions"][1]["record"]["certificate"]["vote"] = "prevote"
    assert code(lambda: guard.import_(document)) == "bad-certificate"


@pytest.mark.parametrize("data", [None, 5, "x", [], {}, {"version": "1"}])
def test_what_is_no_document_is_refused(guard: Guard, data: object) -> None:
    wanted, message = refused(lambda: guard.import_(data))
    assert wanted == "malformed"
    assert message.startswith("not a guard export: ")
