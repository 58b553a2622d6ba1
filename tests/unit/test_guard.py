"""What the guard lets be signed, by one thread and by many, and how it opens and closes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signers.base import SignerError
from signers.ecdsa import verify_der
from signers.guard import Guard, GuardError
from tests.unit.guard_cases import (
    CHAIN,
    OTHER_SIGNER,
    SIGNER,
    A,
    B,
    CountingSigner,
    decision,
    lock,
    open_guard,
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


def digest(hash_: str) -> bytes:
    return bytes.fromhex(hash_)[::-1]


# --- signing


def test_the_decided_block_is_signed_and_the_same_signature_given_again(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    signer = CountingSigner()
    signature = sign(guard, 1, A, signer)
    assert verify_der(SIGNER.public_key, digest(A), signature)
    assert sign(guard, 1, A, signer) == signature
    assert signer.digests == [digest(A)]
    first, second, *_ = signer.signatures(digest(A))
    assert first == signature != second


def test_the_same_signature_is_given_after_a_restart(path: Path) -> None:
    signer = CountingSigner()
    with open_guard(path) as guard:
        guard.record([decision(1, 0, A)])
        signature = sign(guard, 1, A, signer)
    with open_guard(path) as guard:
        assert sign(guard, 1, A, signer) == signature
    assert len(signer.digests) == 1


def test_nothing_undecided_is_signed(guard: Guard) -> None:
    signer = CountingSigner()
    guard.record([lock(1, 0, A), vote("precommit", 1, 0, A), decision(2, 0, A)])
    assert refused(lambda: sign(guard, 1, A, signer)) == (
        "not-decided",
        f"height 1: nothing is decided, {A} is not signed",
    )
    assert refused(lambda: sign(guard, 2, B, signer)) == (
        "conflicting-decision",
        f"height 2: {A} is decided, {B} is not signed",
    )
    assert signer.digests == []


def test_another_block_than_the_signed_one_is_refused(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    sign(guard, 1, A)
    assert refused(lambda: sign(guard, 1, B)) == (
        "conflicting-signature",
        f"height 1 signature: {A} was signed, not {B}",
    )


def test_a_signer_with_another_key_is_refused(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    assert refused(lambda: sign(guard, 1, A, OTHER_SIGNER)) == (
        "wrong-key",
        f"the signer has key {OTHER_SIGNER.public_key.hex()}, not {SIGNER.public_key.hex()}",
    )


def test_a_signature_that_does_not_verify_is_neither_stored_nor_given(guard: Guard) -> None:
    class Faulty(CountingSigner):
        def sign_block(self, digest: bytes, block: bytes) -> bytes:
            return OTHER_SIGNER.sign_block(digest, block)

    guard.record([decision(1, 0, A)])
    assert refused(lambda: sign(guard, 1, A, Faulty())) == (
        "bad-signature",
        f"height 1: it does not verify for {A}",
    )
    assert guard.export()["signatures"] == []
    assert sign(guard, 1, A) == SIGNER.sign_block(digest(A), b"")


def test_an_error_of_the_signer_passes_through_and_may_be_retried(guard: Guard) -> None:
    class Away(CountingSigner):
        def sign_block(self, digest: bytes, block: bytes) -> bytes:  # noqa: ARG002
            raise SignerError("unavailable", "the token is gone")

    guard.record([decision(1, 0, A)])
    with pytest.raises(SignerError, match="the token is gone"):
        sign(guard, 1, A, Away())
    assert sign(guard, 1, A)


@pytest.mark.parametrize("height", [0, -1, 2**64])
def test_heights_out_of_range_are_refused(guard: Guard, height: int) -> None:
    for call in (lambda: sign(guard, height, A), lambda: guard.restore(height)):
        assert refused(call) == ("malformed", f"no such height: {height}")


# --- threads


def test_of_two_threads_signing_different_blocks_at_a_height_one_wins(guard: Guard) -> None:
    for height in range(1, 26):
        signer = CountingSigner()
        start = threading.Barrier(2)
        outcomes: dict[str, str] = {}

        def run(hash_: str, height: int = height, signer: CountingSigner = signer) -> None:
            start.wait()  # noqa: B023 - joined before the next loop
            try:
                guard.record([decision(height, 0, hash_)])
                sign(guard, height, hash_, signer)
            except GuardError as error:
                outcomes[hash_] = error.code  # noqa: B023
            else:
                outcomes[hash_] = "signed"  # noqa: B023

        threads = [threading.Thread(target=run, args=(hash_,)) for hash_ in (A, B)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes.values()) == ["conflicting-decision", "signed"]
        assert len(signer.digests) == 1


def test_of_many_threads_signing_one_block_all_get_the_same_signature(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    signer = CountingSigner()
    given: list[bytes] = []
    threads = [threading.Thread(target=lambda: given.append(sign(guard, 1, A, signer))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 8
    assert len(set(given)) == 1
    assert len(signer.digests) == 1


class Signing:
    """A thread that is inside the signer's call for height 1."""

    def __init__(self, guard: Guard) -> None:
        self.signer = CountingSigner()
        self.signer.proceed.clear()
        self.outcome: bytes | str = ""
        self._thread = threading.Thread(target=self._run, args=(guard,))
        self._thread.start()
        assert self.signer.entered.wait(30)

    def _run(self, guard: Guard) -> None:
        try:
            self.outcome = sign(guard, 1, A, self.signer)
        except GuardError as error:
            self.outcome = error.code

    def finish(self) -> bytes | str:
        self.signer.proceed.set()
        self._thread.join()
        return self.outcome


def test_recording_goes_on_while_the_signer_works(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    signing = Signing(guard)
    guard.record([vote("prevote", 2, 0, B)])
    assert guard.restore(2).votes == (vote("prevote", 2, 0, B),)
    assert isinstance(signing.finish(), bytes)


def test_a_stored_signature_is_given_while_the_signer_works(guard: Guard) -> None:
    guard.record([decision(1, 0, A), decision(2, 0, B)])
    signature = sign(guard, 2, B)
    signing = Signing(guard)
    assert sign(guard, 2, B) == signature
    assert isinstance(signing.finish(), bytes)


def test_a_height_closed_during_the_signing_gets_no_signature(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    signing = Signing(guard)
    guard.close_height(1)
    assert signing.finish() == "below-mark"
    assert guard.export()["signatures"] == []


def test_a_guard_closed_during_the_signing_gives_no_signature(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    signing = Signing(guard)
    guard.close()
    assert signing.finish() == "closed"


# --- opening and closing


def test_a_closed_guard_refuses_everything(guard: Guard, path: Path) -> None:
    guard.close()
    guard.close()
    for call in (
        lambda: guard.record([]),
        lambda: guard.restore(1),
        lambda: sign(guard, 1, A),
        lambda: guard.close_height(1),
        guard.export,
    ):
        assert refused(call) == ("closed", f"guard file {path} has been closed")


def test_a_guard_of_another_chain_or_key_is_refused(path: Path) -> None:
    open_guard(path).close()
    other_chain = CHAIN[::-1]
    assert refused(lambda: open_guard(path, chain=other_chain)) == (
        "wrong-chain",
        f"guard file {path} is of chain {CHAIN}, not {other_chain}",
    )
    assert refused(lambda: open_guard(path, OTHER_SIGNER)) == (
        "wrong-key",
        f"guard file {path} is of key {SIGNER.public_key.hex()}, not {OTHER_SIGNER.public_key.hex()}",
    )
    open_guard(path).close()


@pytest.mark.parametrize("chain", ["", "xx", CHAIN.upper()], ids=["empty", "not hex", "upper case"])
def test_a_chain_is_named_by_its_genesis_hash(path: Path, chain: str) -> None:
    assert refused(lambda: open_guard(path, chain=chain)) == ("malformed", f"not a block hash: '{chain}'")
    assert not path.exists()
