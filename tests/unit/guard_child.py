"""A process of its own that works with a guard: to be killed, to run out of disk, or to hold the locks.

Run as ``python -m tests.unit.guard_child TASK PATH CHAIN``. Whatever is printed has left the process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from signers.guard import Guard, GuardError
from tests.unit.guard_cases import (
    SIGNER,
    A,
    B,
    CountingSigner,
    decision,
    draft,
    lock,
    open_guard,
    sign,
    sign_draft,
    vote,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def say(*words: object) -> None:
    """Let something leave the process."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_commit(guard: Guard, number: int) -> None:
    """Be killed when SQLite is about to run the ``number``-th COMMIT from now."""
    left = [number]

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            left[0] -= 1
            if left[0] == 0:
                die()

    guard._connection.set_trace_callback(trace)


class DyingSigner(CountingSigner):
    """Is killed when it has made the signature, before anybody else sees it."""

    def sign_block(self, digest: bytes, block: bytes) -> bytes:
        super().sign_block(digest, block)
        die()
        raise AssertionError


def vote_once(guard: Guard) -> None:
    guard.record([vote("prevote", 1, 0, A)])
    say("prevote", A)


def vote_but_die_before_commit(guard: Guard) -> None:
    die_at_commit(guard, 1)
    vote_once(guard)


def vote_and_die(guard: Guard) -> None:
    vote_once(guard)
    die()


def sign_but_die_in_signer(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    say(sign(guard, 1, A, DyingSigner()).hex())


def sign_but_die_before_commit(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    die_at_commit(guard, 3)  # the looks before the signer's call are transactions too
    say(sign(guard, 1, A, CountingSigner()).hex())


def sign_but_die_before_it_leaves(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    sign(guard, 1, A, CountingSigner())
    die()


def sign_and_die(guard: Guard) -> None:
    guard.record([decision(1, 0, A)])
    say(sign(guard, 1, A, CountingSigner()).hex())
    die()


def lock_draft_but_die_before_commit(guard: Guard) -> None:
    die_at_commit(guard, 1)
    guard.record([draft(10, "A")])
    say(*(der.hex() for der in sign_draft(guard, draft(10, "A"))))


def sign_draft_and_die(guard: Guard) -> None:
    guard.record([draft(10, "A")])
    say(*(der.hex() for der in sign_draft(guard, draft(10, "A"))))
    die()


def work_until_killed(guard: Guard) -> None:
    """Vote, decide, sign and close height after height, in an order of blocks that each run takes anew."""
    height = (guard.mark or 0) + 1
    while True:
        hash_ = (A, B)[(height + os.getpid()) % 2]
        try:
            guard.record([vote("prevote", height, 0, hash_)])
            say("prevote", height, hash_)
            guard.record([lock(height, 0, hash_), vote("precommit", height, 0, hash_)])
            say("precommit", height, hash_)
            guard.record([decision(height, 0, hash_)])
            say("signature", height, hash_, sign(guard, height, hash_, CountingSigner()).hex())
        except GuardError as error:
            say("refused", height, error.code)
            hash_ = (A, B)[hash_ == A]  # what the run before us did
            guard.record([vote("prevote", height, 0, hash_), lock(height, 0, hash_)])
            guard.record([vote("precommit", height, 0, hash_), decision(height, 0, hash_)])
            say("signature", height, hash_, sign(guard, height, hash_, CountingSigner()).hex())
        guard.close_height(height)
        height += 1


def hold(guard: Guard) -> None:
    say("open", os.getpid(), guard.path)
    time.sleep(60)


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except GuardError as error:
        return error.code
    return "done"


def run_out_of_room(guard: Guard, fill: Callable[[], None], free: Callable[[], None]) -> None:
    """Try everything without room on the disk, then with room again."""
    guard.record([vote("prevote", 1, 0, A), decision(2, 0, A), decision(3, 0, B)])
    given = sign(guard, 3, B)
    signer = CountingSigner()
    seen: dict[str, object] = {}
    fill()
    seen["record"] = outcome(lambda: guard.record([vote("prevote", 1, 1, A)]))
    seen["sign"] = outcome(lambda: sign(guard, 2, A, signer))
    seen["signed by the key"] = len(signer.digests)
    seen["close"] = outcome(lambda: guard.close_height(1))
    seen["import"] = outcome(lambda: guard.import_(guard.export() | {"mark": 1, "votes": []}))
    seen["known signature"] = sign(guard, 3, B) == given
    seen["votes"] = len(guard.restore(1).votes)
    seen["signatures"] = len(guard.export()["signatures"])
    seen["create"] = outcome(lambda: open_guard(guard.path.with_name("second"), chain=guard.chain[::-1]))
    free()
    seen["record again"] = outcome(lambda: guard.record([vote("prevote", 1, 1, A)]))
    seen["sign again"] = outcome(lambda: sign(guard, 2, A, signer))
    guard.close()
    with Guard.open(guard.path, guard.chain, SIGNER.public_key) as reopened:
        seen["votes after restart"] = len(reopened.restore(1).votes)
        seen["signatures after restart"] = len(reopened.export()["signatures"])
    say(json.dumps(seen))


def run_out_of_file_size(guard: Guard) -> None:
    """No file may grow: writing beyond the limit fails as an I/O error (EFBIG)."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run_out_of_room(
        guard,
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
    )


def close_without_room(guard: Guard) -> None:
    """The file cannot even be marked as closed."""
    guard.record([vote("prevote", 1, 0, A)])
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    guard.close()
    say("closed")


def run_out_of_disk(guard: Guard) -> None:
    """The disk is full (ENOSPC). The guard lies on a small file system of this process alone."""
    ballast = guard.path.with_name("ballast")

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    run_out_of_room(guard, fill, ballast.unlink)


def mount_small_disk(directory: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        say("no mount")
        sys.exit(0)


TASKS = {
    task.__name__.replace("_", "-"): task
    for task in (
        vote_but_die_before_commit,
        vote_and_die,
        sign_but_die_in_signer,
        sign_but_die_before_commit,
        sign_but_die_before_it_leaves,
        sign_and_die,
        lock_draft_but_die_before_commit,
        sign_draft_and_die,
        work_until_killed,
        hold,
        run_out_of_file_size,
        close_without_room,
        run_out_of_disk,
    )
}


def main() -> None:
    task, path, chain = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    if task == "run-out-of-disk":
        mount_small_disk(path.parent)
    TASKS[task](open_guard(path, chain=chain))


if __name__ == "__main__":
    main()
