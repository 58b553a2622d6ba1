"""Whatever order records, signatures, closings, restarts and imports come in, nothing is ever said twice."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signers.guard import GuardError
from states.memory import VoteCast
from tests.unit.guard_cases import A, B, decision, lock, open_guard, sign, vote

# few enough that contradictions are drawn all the time
heights = st.integers(1, 3)
rounds = st.integers(0, 2)
hashes = st.sampled_from([A, B])
votes = st.one_of(
    st.builds(vote, st.sampled_from(["proposal", "prevote", "precommit"]), heights, rounds, hashes),
    st.builds(vote, st.sampled_from(["prevote", "precommit"]), heights, rounds, st.none()),
)
records = st.one_of(votes, st.builds(lock, heights, rounds, hashes), st.builds(decision, heights, rounds, hashes))


class GuardMachine(RuleBasedStateMachine):
    """Keeps what left the guard: every accepted vote and every signature given, since the key was made."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.files = 0
        self.guard = open_guard(self.path)
        self.exports: list[dict[str, Any]] = []
        self.votes: dict[tuple[int, int, str], set[str | None]] = defaultdict(set)
        self.signed: dict[int, set[tuple[str, bytes]]] = defaultdict(set)
        self.highest_mark = -1

    @property
    def path(self) -> Path:
        return Path(self.directory.name) / f"guard{self.files}.db"

    @rule(batch=st.lists(records, max_size=4))
    def record(self, batch: list[Any]) -> None:
        before = self.guard.export()
        try:
            self.guard.record(batch)
        except GuardError:
            assert self.guard.export() == before
            return
        for entry in batch:
            if hasattr(entry, "kind"):
                self.votes[entry.height, entry.round, entry.kind].add(entry.block_hash)

    @rule(casts=st.lists(votes, min_size=1, max_size=8))
    def vote(self, casts: list[VoteCast]) -> None:
        for cast in casts:
            self.record([cast])

    @rule(height=heights, round_=rounds, hash_=hashes)
    def lock_and_precommit(self, height: int, round_: int, hash_: str) -> None:
        self.record([lock(height, round_, hash_), vote("precommit", height, round_, hash_)])

    @rule(height=heights, hash_=hashes)
    def decide_and_sign(self, height: int, hash_: str) -> None:
        self.record([decision(height, 0, hash_)])
        self.sign(height, hash_)

    @rule(height=heights, hash_=hashes)
    def sign(self, height: int, hash_: str) -> None:
        try:
            self.signed[height].add((hash_, sign(self.guard, height, hash_)))
        except GuardError:
            return

    @rule(height=st.integers(0, 2))
    def close_height(self, height: int) -> None:
        self.guard.close_height(height)
        self.highest_mark = max(self.highest_mark, height)

    @rule()
    def restart(self) -> None:
        before = self.guard.export()
        self.guard.close()
        self.guard = open_guard(self.path)
        assert self.guard.export() == before

    @rule()
    def export(self) -> None:
        self.exports.append(self.guard.export())

    @rule(data=st.data())
    def import_older_export(self, data: st.DataObject) -> None:
        if self.exports:
            self.guard.import_(data.draw(st.sampled_from(self.exports)))

    @rule()
    def move_to_another_file(self) -> None:
        document = self.guard.export()
        self.guard.close()
        self.files += 1
        self.guard = open_guard(self.path)
        self.guard.import_(document)
        assert self.guard.export() == document

    @invariant()
    def one_vote_for_each_height_round_and_kind(self) -> None:
        assert all(len(cast) == 1 for cast in self.votes.values())

    @invariant()
    def one_signature_for_each_height(self) -> None:
        assert all(len(given) <= 1 for given in self.signed.values())

    @invariant()
    def the_mark_never_sinks(self) -> None:
        mark = self.guard.mark
        assert (-1 if mark is None else mark) == self.highest_mark

    @invariant()
    def a_precommit_in_the_file_is_covered_by_its_lock(self) -> None:
        document = self.guard.export()
        locks = {entry["height"]: entry for entry in document["locks"]}
        for entry in document["votes"]:
            if entry["kind"] == "precommit" and entry["block_hash"] is not None:
                held = locks[entry["height"]]
                assert held["proof"]["round"] >= entry["round"]

    def teardown(self) -> None:
        self.guard.close()
        self.directory.cleanup()


TestGuardMachine = GuardMachine.TestCase
TestGuardMachine.settings = settings(
    max_examples=60, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
