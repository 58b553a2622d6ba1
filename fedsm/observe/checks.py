"""The named checks of ``/ready``: whether this member can do its part of the next block, and if not, why."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from fedsm.observe.board import Now
from fedsm.observe.status import Check, Member
from fedsm.peers import SKEW_MS
from states.quorum import Quorum

# The engine turns at least once a second, for its heartbeat.
STALL_MS = 5_000


def is_turning(since_turn_ms: int) -> bool:
    """Whether the engine's thread is alive: it turned within STALL_MS."""
    return since_turn_ms <= STALL_MS


def checks_of(
    now: Now, members: Sequence[Member], quorum: Quorum, since_turn_ms: int, node_trouble: str
) -> Iterator[Check]:
    """All checks of a running daemon, always in the same order."""
    turning = is_turning(since_turn_ms)
    yield Check("engine", turning, "turns" if turning else f"has not turned for {since_turn_ms} ms")
    yield Check("node", not node_trouble, node_trouble or "answers")
    known = now.standing.height > 0
    yield Check("chain", known, f"works on height {now.standing.height}" if known else "no tip known yet")
    yield _enough(members, quorum)
    yield _clock(members)
    yield Check("guard", not now.guard_trouble, now.guard_trouble or "records")
    yield Check("signer", not now.signer_trouble, now.signer_trouble or "no failure since it was asked last")


def _enough(members: Sequence[Member], quorum: Quorum) -> Check:
    up = sum(member.up for member in members)
    needed = max(quorum.votes, quorum.threshold)
    down = [str(member.member) for member in members if not member.up]
    detail = f"{up} of {len(members)} members are up, {needed} are needed"
    return Check("members", up >= needed, detail + (f"; not heard: {', '.join(down)}" if down else ""))


def _clock(members: Sequence[Member]) -> Check:
    """If most others' clocks differ from ours, ours is the wrong one."""
    skews = [member.skew_ms for member in members if member.up and not member.ours]
    if not skews:
        return Check("clock", ok=True, detail="nobody to compare with")
    middle = round(statistics.median(skews))
    if abs(middle) <= SKEW_MS:
        return Check("clock", ok=True, detail=f"within {abs(middle)} ms of the others (median)")
    word = "behind" if middle > 0 else "ahead of"
    return Check("clock", ok=False, detail=f"{abs(middle)} ms {word} the others (median): set it (NTP)")
