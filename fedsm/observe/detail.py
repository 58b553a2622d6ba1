"""Everything that is known of one height, for the round explorer."""

from __future__ import annotations

from collections.abc import Iterator

from fedsm.observe.status import HeightDetail, Message, RoundDetail
from fedsm.trace.chronicle import HeightFacts, RoundFacts
from fedsm.trace.story import Story
from states.round import Settings

# Of a height that stands still the last rounds are shown.
SHOWN_ROUNDS = 20


def detail_of(facts: HeightFacts, settings: Settings) -> HeightDetail:
    """A height with its last rounds, their messages in the order in which they came, and the story in words."""
    numbers = sorted(facts.rounds)[-SHOWN_ROUNDS:]
    signatures = [Message("signature", member, None, at_ms) for member, at_ms in facts.signatures.items()]
    shown = HeightFacts(**(vars(facts) | {"rounds": {number: facts.rounds[number] for number in numbers}}))
    return HeightDetail(
        height=facts.height,
        slot_ms=facts.slot_ms,
        closed_at_ms=None if facts.closed is None else facts.closed.at_ms,
        rounds=tuple(_round(facts, number, settings) for number in numbers),
        signatures=tuple(sorted(signatures, key=lambda message: message.at_ms)),
        story=tuple(Story(settings).tell(shown)),
    )


def _round(facts: HeightFacts, number: int, settings: Settings) -> RoundDetail:
    of_round = facts.rounds[number]
    proposer = settings.quorum.proposer(facts.height, number)
    return RoundDetail(
        round=number,
        proposer=proposer,
        began_at_ms=of_round.began_ms,
        failed_at_ms=of_round.failed_ms,
        messages=tuple(sorted(_messages(of_round, proposer), key=lambda message: message.at_ms)),
    )


def _messages(of_round: RoundFacts, proposer: int) -> Iterator[Message]:
    if of_round.proposal is not None:
        yield Message("proposal", proposer, *of_round.proposal)
    for kind, votes in (("prevote", of_round.prevotes), ("precommit", of_round.precommits)):
        for member, vote in votes.items():
            yield Message(kind, member, *vote)
