"""What one member did, noted for a watch that sees all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedsm.simulator.disk import Store
from fedsm.simulator.model.bounds import Case
from fedsm.simulator.watch import Watch
from states.events import BlockJudged
from states.memory import BlockDecided, LockTaken, Record, VoteCast
from states.messages import Message, Precommit, Prevote, Proposal

Observation = tuple[str, tuple[Any, ...]]  # a method of Watch, and what it is called with
Fact = tuple[str, int, int, str, bytes]  # "decided" or "signed", member, height, block hash, signature


@dataclass(frozen=True)
class Glance:
    """What was on a member's disk when it said something."""

    said: VoteCast | None
    held: LockTaken | None

    def vote(self, *_: object) -> VoteCast | None:
        """The record of what was said."""
        return self.said

    def lock(self, _height: int) -> LockTaken | None:
        """The lock at that moment."""
        return self.held


class Witness(Watch):
    """Notes what a watch is to judge later, when all that others have done is known too."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.quorum, case.liars)
        self.seen: list[Observation] = []
        self.facts: list[Fact] = []
        self.judged_valid: set[str] = set()

    def forget(self) -> None:
        """Another step begins."""
        self.seen, self.facts, self.judged_valid = [], [], set()

    def recorded(self, member: int, records: Sequence[Record]) -> None:
        """See Watch."""
        self.seen.append(("recorded", (member, tuple(records))))
        decisions = [record for record in records if isinstance(record, BlockDecided)]
        self.facts += [("decided", member, d.height, d.block_hash, b"") for d in decisions]

    def said(self, member: int, message: Message, store: Store) -> None:
        """See Watch."""
        glance: object = None
        if isinstance(message, Prevote | Precommit | Proposal):
            kind = type(message).__name__.lower()
            glance = Glance(store.vote(message.height, message.round, kind), store.lock(message.height))
        self.seen.append(("said", (member, message, glance)))

    def signed(self, member: int, height: int, block_hash: str, signature: bytes) -> None:
        """See Watch."""
        self.seen.append(("signed", (member, height, block_hash, signature)))
        self.facts.append(("signed", member, height, block_hash, signature))

    def combined(self, height: int, block_hash: str, signatures: tuple[tuple[int, bytes], ...]) -> None:
        """See Watch."""
        self.seen.append(("combined", (height, block_hash, signatures)))

    def judged(self, member: int, judged: BlockJudged) -> None:
        """See Watch."""
        self.seen.append(("judged", (member, judged)))
        if judged.verdict == "valid":
            self.judged_valid.add(judged.block_hash)
