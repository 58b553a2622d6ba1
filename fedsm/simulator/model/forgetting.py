"""What members remember and never look at again, forgotten at once: those who differ in nothing else stand alike.

All of it holds because nothing is sent again in an exploration: what was sent stays under way. A test lets members
that forget and members that do not take the same inputs, and they do the same.
"""

from __future__ import annotations

from typing import NamedTuple

from states.accusations import Accusations
from states.agreement import Agreement
from states.ballots import Ballots
from states.memory import Memory
from states.quorum import Tally
from states.round import Round
from states.verdicts import Verdicts

# ruff: noqa: SLF001 - to forget is the opposite of what machines are for: they cannot do it


class Ears(NamedTuple):
    """Which messages make a difference to a member at its height; votes by the round from which on they do.

    Proposals, precommits for blocks and signatures always do, unless a block is decided: then signatures alone.
    """

    is_decided: bool
    prevotes_from: int
    nil_prevotes_from: int
    nil_precommits_from: int


def ears_of(machine: Round) -> Ears:
    """What the member looks at: see ``forget``."""
    agreement, round_ = machine.agreement, machine.round
    is_precommitted = agreement.state == "Precommitted"
    is_valid = is_precommitted and agreement.valid is not None and agreement.valid.round == round_
    return Ears(agreement.decision is not None, round_ + is_valid, round_ + is_precommitted, round_)


def forget(machine: Round) -> None:
    """Forget the event taken last, the last height, who sent a signature how, and what the agreement is past."""
    agreement = machine.agreement
    machine._event = agreement._event = machine._closed = None
    machine._answered.clear()
    agreement._accusations = Accusations()
    agreement._opening = Memory(height=0)
    if agreement.state != "Waiting":
        machine._memory = Memory(height=0)
    for signed in machine._signatures._by_hash.values():
        signed.update({member: (signature, b"") for member, (signature, _) in signed.items()})
    if agreement.decision is not None:
        _forget_all_votes(agreement)
    else:
        _forget_old_votes(agreement, ears_of(machine))


def _forget_all_votes(agreement: Agreement) -> None:
    """A decision is final."""
    agreement.lock = agreement.valid = None
    agreement.cast.clear()
    agreement.verdicts = Verdicts()
    agreement._prevote_timer_set = agreement._precommit_timer_set = False
    agreement.round = agreement.next_round = 0
    agreement.ballots = Ballots(agreement.quorum, agreement.height)


def _forget_old_votes(agreement: Agreement, ears: Ears) -> None:
    """Old prevotes and nil votes count for nothing, and old precommits for a certificate only."""
    ballots = agreement.ballots
    agreement.next_round = 0
    envelopes = ballots._proposal_envelopes
    envelopes.update({round_: (sender, b"") for round_, (sender, _) in envelopes.items()})
    if agreement.state == "Precommitted":
        agreement._prevote_timer_set = False
    kept = {}
    for (kind, round_), tally in ballots._tallies.items():
        blocks, nil = (
            (ears.prevotes_from, ears.nil_prevotes_from) if kind == "prevote" else (0, ears.nil_precommits_from)
        )
        fewer = Tally()
        for member, (block_hash, envelope) in tally.votes.items():
            if round_ >= (nil if block_hash is None else blocks):
                fewer.add(member, block_hash, envelope)
        if fewer.votes:
            kept[kind, round_] = fewer
    ballots._tallies = kept
    # To have reached the round that we are in counts until we have begun it ourselves.
    least = agreement.round + (agreement.state != "Waiting")
    ballots._reached = {member: round_ for member, round_ in ballots._reached.items() if round_ >= least}
    ballots.highest_round = max(ballots._reached.values(), default=0)
