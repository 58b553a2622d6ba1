"""Which states the round machine went through in one step: a step may take several edges, one after the other."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fedsm.trace import Transition
from states.effects import CombineBlock, Effect, Report, SetTimer, SubmitBlock
from states.events import TipChanged

Cause = Literal["tip", "reissue", "begin", "fail", "decide", "combine", "submit", "other"]


class Move(NamedTuple):
    """An edge between two states that was taken, and why."""

    source: str
    dest: str
    cause: Cause


_DESTINATIONS: dict[Cause, str] = {
    "tip": "Idle",
    "reissue": "Reissue",
    "begin": "Propose",
    "fail": "Idle",
    "decide": "CollectSigs",
    "combine": "Combine",
    "submit": "Submit",
}


def moves_of(step: Transition) -> list[Move]:
    """The edges between different states that a step took, in order, as its effects tell them."""
    moves: list[Move] = []
    state = step.before.state
    for effect in step.effects:
        cause = _cause_of(effect, step)
        if cause is not None and _DESTINATIONS[cause] != state:
            moves.append(Move(state, _DESTINATIONS[cause], cause))
            state = _DESTINATIONS[cause]
    if state != step.after.state:
        moves.append(Move(state, step.after.state, "other"))
    return moves


def _cause_of(effect: Effect, step: Transition) -> Cause | None:
    """What an effect says about the edge that gave it; None when it says nothing of the state."""
    match effect:
        case SetTimer(timer="slot") if isinstance(step.event, TipChanged):
            return "reissue" if _reissues(step) else "tip"
        case SetTimer(timer="propose"):
            return "begin"
        case Report(code="round-failed"):
            return "fail"
        case Report(code="decided"):
            return "decide"
        case CombineBlock():
            return "combine"
        case SubmitBlock():
            return "submit"
    return None


def _reissues(step: Transition) -> bool:
    return any(isinstance(effect, SetTimer) and effect.timer == "reissue" for effect in step.effects)
