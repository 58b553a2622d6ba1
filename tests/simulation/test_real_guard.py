"""The core on the daemon's own guard: what the machines record in honest runs, the guard never refuses."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import wallycore as wally

from fedsm.simulator.cluster import Cluster
from fedsm.simulator.plan import Plan, faults_of
from fedsm.simulator.run import Run
from signers.ecdsa import verify_der
from signers.guard import Guard, GuardError
from signers.software import SoftwareSigner
from states.memory import DraftLocked, LockTaken, Memory, Record, VoteCast
from states.quorum import Quorum


class GuardStore:
    """A member's guard file and its software key."""

    is_full = garbles = False
    cut_after: int | None = None

    def __init__(self, path: Path, chain: str, member: int) -> None:
        self.path, self.chain = path, chain
        self.signer = SoftwareSigner(bytes(wally.sha256(f"{chain} {member}".encode())))
        self.guard = Guard.open(path, chain, self.signer.public_key)

    def restore(self, height: int) -> Memory:
        return self.guard.restore(height)

    def record(self, records: Sequence[Record]) -> None:
        if self.is_full:
            raise GuardError("write-failed", "no space left")
        self.guard.record(records)

    def sign(self, height: int, block_hash: str, block: bytes) -> bytes:
        return self.guard.sign_block(height, block_hash, block, self.signer)

    def verifies(self, block_hash: str, signature: bytes) -> bool:
        return verify_der(self.signer.public_key, bytes.fromhex(block_hash)[::-1], signature)

    def drafts(self, due_height: int) -> tuple[DraftLocked, ...]:
        return self.guard.drafts(due_height)

    def knows_period(self, due_height: int) -> bool:
        return self.guard.knows_period(due_height)

    def sign_draft(self, due_height: int, asset: str, draft_id: str) -> tuple[bytes, ...]:
        return self.guard.sign_draft(asset, due_height, draft_id, [bytes.fromhex(draft_id)], self.signer)

    def close_height(self, height: int) -> None:
        self.guard.close_height(height)

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        votes = self.guard.restore(height).votes
        return next((vote for vote in votes if (vote.round, vote.kind) == (round_, kind)), None)

    def lock(self, height: int) -> LockTaken | None:
        return self.guard.restore(height).lock

    def restart(self) -> None:
        self.guard.close()
        self.guard = Guard.open(self.path, self.chain, self.signer.public_key)


class Files:
    """Guard files of one cluster; ``chain`` is new for each, since a guard holds its key on the whole host."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.chain = directory, secrets.token_hex(32)
        self.stores: list[GuardStore] = []

    def __call__(self, member: int) -> GuardStore:
        self.stores.append(GuardStore(self.directory / f"guard{member}.db", self.chain, member))
        return self.stores[-1]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    made = Files(tmp_path)
    yield made
    for store in made.stores:
        store.guard.close()


@pytest.mark.parametrize("history", [0, 4])
def test_a_quiet_run_leaves_one_signature_a_height(files: Files, history: int) -> None:
    cluster = Cluster(3, 2, stores=files, history=history)
    cluster.start()
    cluster.run_until_height(history + 5)
    for store in files.stores:
        signed = {entry["height"]: entry["block_hash"] for entry in store.guard.export()["signatures"]}
        for height in range(history + 1, history + 5):
            assert signed[height] == cluster.members[0].chain[height]


@pytest.mark.parametrize("seed", range(6))
def test_the_guard_refuses_nothing_that_honest_machines_record(files: Files, seed: int) -> None:
    """Any refusal but a full disk and a closed height is a violation. Files cannot have their power cut here."""
    quorum = [Quorum(3, 2, 2), Quorum(4, 2, 3), Quorum(5, 3, 3)][seed % 3]
    run = Run(Plan(quorum, seed, 12, faults_of("all") - {"power", "hostile"}, assets=seed % 2), files)
    outcome = run.play()
    assert outcome.blocks > 0
    assert bool(outcome.reissuances) == bool(seed % 2)
