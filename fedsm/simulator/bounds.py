"""What one height makes a member keep, whatever the others say: it must not grow without end."""

from __future__ import annotations

from fedsm.simulator.violation import Violation
from states.ballots import MAX_FUTURE_ROUNDS_PER_MEMBER, PAST_ROUNDS_KEPT
from states.mailbox import MAX_EARLY_PER_MEMBER
from states.quorum import Quorum
from states.round import Round

# ruff: noqa: SLF001 - how much they keep is nobody's business but their own, and the watch's


def check_bounds(machine: Round, quorum: Quorum) -> None:
    """Violation ``unbounded`` when a member's machines keep more than they may."""
    agreement, ballots = machine.agreement, machine.agreement.ballots
    near, far = PAST_ROUNDS_KEPT + 2, quorum.members * MAX_FUTURE_ROUNDS_PER_MEMBER
    kept = {
        "tallies": (len(ballots._tallies), 2 * (near + far)),
        "proposals": (len(ballots.proposals), near + far),
        "bodies": (len(ballots.blocks), near + far + 2),
        "members seen": (len(ballots._reached), quorum.members),
        "verdicts": (len(agreement.verdicts._given), 2 * (near + far + 3)),
        "refused bodies": (len(agreement.verdicts._refused), near + far + 3),
        "blocks signed": (len(machine._signatures._by_hash), quorum.members),
        "early messages": (max(map(len, machine._mailbox._early.values()), default=0), MAX_EARLY_PER_MEMBER),
    }
    if agreement.state not in ("Waiting", "Decided"):  # there it is as long as the guard's memory
        kept["own votes"] = (len(agreement.cast), 3)
    for what, (size, most) in kept.items():
        if size > most:
            raise Violation("unbounded", f"member {machine.settings.member} keeps {size} {what}, at most {most}")
