"""Records, keys and blocks that the guard's tests share."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wallycore as wally

from signers.guard import Guard, GuardError
from signers.software import SoftwareSigner
from states.memory import BlockDecided, DraftLocked, LockTaken, VoteCast
from states.messages import QuorumProof, VoteKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]
# new in each process: the guard's lock on (chain, key) is held against all processes of the host
CHAIN = secrets.token_hex(32)
SIGNER = SoftwareSigner(bytes(31) + b"\x07")
OTHER_SIGNER = SoftwareSigner(bytes(31) + b"\x08")


def block_hash(name: str) -> str:
    """The hash (display hex) of the block called ``name``."""
    return bytes(wally.sha256d(body(name)))[::-1].hex()


def body(name: str) -> bytes:
    """The bytes of the block called ``name``."""
    return b"block " + name.encode()


A, B, C = block_hash("A"), block_hash("B"), block_hash("C")
_NAMES = {block_hash(name): name for name in "ABC"}


def vote(kind: str, height: int, round_: int, hash_: str | None) -> VoteCast:
    return VoteCast(kind, height, round_, hash_)


def proof(kind: VoteKind, height: int, round_: int, hash_: str) -> QuorumProof:
    return QuorumProof(kind, height, round_, hash_, (0, 1, 2), (b"x", b"y", b"z"))


def lock(height: int, round_: int, hash_: str) -> LockTaken:
    return LockTaken(height, hash_, body(_NAMES[hash_]), proof("prevote", height, round_, hash_))


def decision(height: int, round_: int, hash_: str) -> BlockDecided:
    return BlockDecided(height, hash_, body(_NAMES[hash_]), proof("precommit", height, round_, hash_))


ASSET, OTHER_ASSET = "a5" * 32, "b6" * 32


def draft(due_height: int, name: str, asset: str = ASSET, index: int = 0) -> DraftLocked:
    """The lock of the reissuance that is called ``name``, of the token output with this index."""
    return DraftLocked(asset, due_height, block_hash(name), f"{'70' * 32}:{index}", body(name))


def sign_draft(guard: Guard, locked: DraftLocked, signer: SoftwareSigner = SIGNER) -> tuple[bytes, ...]:
    digests = [bytes([1]) * 32, bytes([2]) * 32]
    return guard.sign_draft(locked.asset, locked.due_height, locked.draft_id, digests, signer)


def sign(guard: Guard, height: int, hash_: str, signer: SoftwareSigner | CountingSigner = SIGNER) -> bytes:
    return guard.sign_block(height, hash_, body(_NAMES[hash_]), signer)


def open_guard(path: Path, signer: SoftwareSigner = SIGNER, chain: str = CHAIN) -> Guard:
    return Guard.open(path, chain, signer.public_key)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    """Code and one-line message of a refusal."""
    with pytest.raises(GuardError) as caught:
        call()
    assert "\n" not in caught.value.message
    assert str(caught.value) == caught.value.message
    return caught.value.code, caught.value.message


def code(call: Callable[[], object]) -> str:
    """The code of a refusal."""
    return refused(call)[0]


class CountingSigner:
    """Signs like a token with random nonces: valid signatures of one digest that differ at every call."""

    def __init__(self) -> None:
        self.public_key = SIGNER.public_key
        self.digests: list[bytes] = []
        self.entered = threading.Event()
        self.proceed = threading.Event()
        self.proceed.set()

    def sign_block(self, digest: bytes, block: bytes) -> bytes:  # noqa: ARG002 - as a token would
        self.digests.append(digest)
        self.entered.set()
        assert self.proceed.wait(30)
        return self.signatures(digest)[len(self.digests) - 1]

    def signatures(self, digest: bytes) -> Sequence[bytes]:
        """What the first calls give for a digest: plain RFC 6979 and with extra entropy."""
        secret = bytes(31) + b"\x07"
        made = []
        for call in range(4):
            extra = bytes(31) + bytes([call])
            compact = wally.ec_sig_from_bytes_aux(secret, digest, extra, wally.EC_FLAG_ECDSA)
            made.append(bytes(wally.ec_sig_to_der(compact)))
        return made

    def sign_text(self, text: str) -> bytes:
        return SIGNER.sign_text(text)

    def close(self) -> None:
        """Nothing is held."""


def cure(path: Path, reason: str) -> tuple[str, str]:
    """The refusal of a damaged file."""
    advice = (
        f"move {path.name} and {path.name}-wal away, then restore the newest export with: fedsm guard import FILE"
    )
    return "corrupt", f"guard file {path} is damaged ({reason}): {advice}"


def command(task: str, path: Path) -> list[str]:
    """The command line of a process that does a task of guard_child."""
    return [sys.executable, "-m", "tests.unit.guard_child", task, str(path), CHAIN]


def run(task: str, path: Path, *, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a task of guard_child to its end."""
    return subprocess.run(
        [*prefix, *command(task, path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


def killed(task: str, path: Path) -> str:
    """What left a process that killed itself."""
    done = run(task, path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout
