"""A guard in memory for tests of the core: the guard's own rules over dictionaries that survive restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from signers import guard_rules
from states.memory import BlockDecided, LockTaken, Memory, Record, VoteCast


class Store(Protocol):
    """What a member keeps on disk, whatever keeps it. ``record`` raises GuardError, as does ``sign``."""

    def restore(self, height: int) -> Memory: ...
    def record(self, records: Sequence[Record]) -> None: ...
    def sign(self, height: int, block_hash: str, block: bytes) -> bytes: ...
    def close_height(self, height: int) -> None: ...
    def restart(self) -> None: ...


class Disk:
    """The rows that signers/guard_rules.py works on, as dictionaries."""

    def __init__(self, member: int) -> None:
        self.member = member
        self.cast: dict[tuple[int, int, str], VoteCast] = {}
        self.locks: dict[int, LockTaken] = {}
        self.decisions: dict[int, BlockDecided] = {}
        self.marks: dict[str, int] = {}

    # --- as the machines' host uses it

    def restore(self, height: int) -> Memory:
        used = self.cast or self.locks or self.decisions or "mark" in self.marks
        if not used:
            self.marks["fence"] = max(height, self.marks.get("fence", 0))
        fresh = height <= self.marks.get("fence", 0)
        return Memory(height, self.votes(height), self.locks.get(height), self.decisions.get(height), fresh)

    def record(self, records: Sequence[Record]) -> None:
        for record in sorted(records, key=lambda record: not isinstance(record, LockTaken)):
            guard_rules.apply(self, record)  # type: ignore[arg-type]

    def sign(self, height: int, block_hash: str, block: bytes) -> bytes:
        assert self.decided_hash(height) == block_hash, "signs what it did not record as decided"
        assert self.decisions[height].block == block
        return f"{self.member}:{block_hash}".encode()

    def close_height(self, height: int) -> None:
        self.marks["mark"] = max(height, self.marks.get("mark", height))

    def restart(self) -> None:
        """A dictionary has nothing to lose."""

    # --- as the guard's rules use it

    def height_of(self, name: str) -> int | None:
        return self.marks.get(name)

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        return self.cast.get((height, round_, kind))

    def votes(self, height: int) -> tuple[VoteCast, ...]:
        return tuple(vote for key, vote in sorted(self.cast.items()) if key[0] == height)

    def add_vote(self, vote: VoteCast) -> None:
        self.cast[vote.height, vote.round, vote.kind] = vote

    def lock(self, height: int) -> LockTaken | None:
        return self.locks.get(height)

    def set_lock(self, lock: LockTaken) -> None:
        self.locks[lock.height] = lock

    def decided_hash(self, height: int) -> str | None:
        decision = self.decisions.get(height)
        return None if decision is None else decision.block_hash

    def add_decision(self, height: int, _block_hash: str, record: BlockDecided) -> None:
        self.decisions[height] = record
