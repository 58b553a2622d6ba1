"""Tells what happened at a height, in sentences. Times are milliseconds after the height's slot."""

from __future__ import annotations

from collections.abc import Iterator

from fedsm.trace.chronicle import HeightFacts, RoundFacts, Vote
from fedsm.trace.words import clock_time, short
from states.events import BlockSubmitted
from states.round import Settings


class Story:
    """Tells of the heights of one run of a member's daemon."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._quorum = settings.quorum
        self._zero_ms = 0

    def tell(self, facts: HeightFacts) -> Iterator[str]:
        """The lines about a height: a heading, then one for each round and for the end."""
        self._zero_ms = facts.slot_ms or facts.opened_ms or min(self._moments(facts), default=0)
        yield f"Height {facts.height}, slot {clock_time(self._zero_ms)} (times are milliseconds after it)"
        for number in sorted(facts.rounds):
            first, *others = self._round(facts, number, facts.rounds[number])
            yield f"  Round {number}: {first}"
            yield from (f"    {sentence}" for sentence in others)
        for last in (self._signing(facts), self._end(facts)):
            text = " ".join(last)
            if text:
                yield f"  {text}"
        for at_ms, report in facts.reports:
            about = "" if report.member is None else f" of {self._name(report.member)}"
            detail = f": {report.detail}" if report.detail else ""
            yield f"  Reported {self._after(at_ms)}: {report.code}{about}{detail}."

    # --- a round

    def _round(self, facts: HeightFacts, number: int, of_round: RoundFacts) -> Iterator[str]:
        yield self._proposal(facts, number, of_round)
        for name, votes in (("Prevotes", of_round.prevotes), ("Precommits", of_round.precommits)):
            yield f"{name}: {self._votes(votes)}."
        if facts.decided is not None and facts.decided.round == number:
            voters = _list(facts.decided.voters)
            when = self._after(facts.decided.at_ms)
            yield f"Decided {when}: block {short(facts.decided.block_hash)}, by the precommits of {voters}."
        if of_round.failed_ms is not None:
            yield f"The round failed {self._after(of_round.failed_ms)}: {self._why(facts, number, of_round)}."

    def _proposal(self, facts: HeightFacts, number: int, of_round: RoundFacts) -> str:
        proposer = self._name(self._quorum.proposer(facts.height, number))
        proposal = of_round.proposal
        if proposal is None:
            if of_round.not_built is not None:
                return f"{proposer} proposed nothing, for our node built no block: {of_round.not_built}."
            return f"{proposer} proposed nothing that reached us."
        said = f"{proposer} proposed block {short(proposal.block_hash)} {self._after(proposal.at_ms)}"
        judged = facts.verdicts.get(proposal.block_hash)
        if judged is None:
            return f"{said}; our node did not judge it."
        if judged.verdict == "valid":
            return f"{said}; our node found it valid {self._after(judged.at_ms)}."
        word = "refused it" if judged.verdict == "invalid" else "could not judge it"
        return f"{said}; our node {word} {self._after(judged.at_ms)}: {judged.reason or 'no reason given'}."

    def _votes(self, votes: dict[int, Vote]) -> str:
        """Who voted for what and when, and who was not heard."""
        parts = []
        for block_hash in sorted({vote.block_hash for vote in votes.values()}, key=lambda h: (h is None, h)):
            said = [
                f"{m} ({vote.at_ms - self._zero_ms:+})"
                for m, vote in sorted(votes.items())
                if vote[0] == block_hash
            ]
            parts.append(f"{short(block_hash)} by {', '.join(said)}")
        missing = self._missing(votes)
        if missing:
            parts.append(f"missing {_list(missing)}" if parts else "none")
        return "; ".join(parts)

    def _missing(self, votes: dict[int, Vote]) -> list[int]:
        return [member for member in range(self._quorum.members) if member not in votes]

    def _why(self, facts: HeightFacts, number: int, of_round: RoundFacts) -> str:
        """Why no block was decided in a round, and whose messages were missing."""
        proposal, wanted = of_round.proposal, self._quorum.votes
        proposer = self._quorum.proposer(facts.height, number)
        own = of_round.prevotes.get(self._settings.member)
        reasons = []
        if proposal is None:
            reasons.append(f"no proposal of {self._name(proposer)}")
        elif own is not None and own.block_hash is None and own.at_ms < proposal.at_ms:
            reasons.append(f"the proposal of {self._name(proposer)} came after its time was up")
        for name, votes in (("prevotes", of_round.prevotes), ("precommits", of_round.precommits)):
            most = _most(votes)
            if most < wanted and proposal is not None:
                reasons.append(f"{most} of the {wanted} {name} that a block needs")
                break
        else:
            judged = None if proposal is None else facts.verdicts.get(proposal.block_hash)
            if judged is not None and judged.verdict != "valid":
                reasons.append("the others want the block, which our node did not find valid")
        silent = [m for m in self._missing(of_round.precommits) if m not in of_round.prevotes]
        if silent:
            reasons.append(f"nothing was heard of {_list(silent)}")
        return ", ".join(reasons) or "the others went on to a later round"

    # --- the end

    def _signing(self, facts: HeightFacts) -> Iterator[str]:
        if facts.signatures:
            missing = [m for m in range(self._quorum.members) if m not in facts.signatures]
            tail = f"; missing {_list(missing)}" if missing else ""
            yield f"Signed by {self._when(facts.signatures)}{tail}."
        if facts.unsigned is not None:
            yield f"Our signer gave no signature: {facts.unsigned}."
        if facts.combined_ms is not None:
            yield f"Combined {self._after(facts.combined_ms)}."
        if facts.submitted:
            answers = ", then ".join(dict.fromkeys(map(_answer, facts.submitted)))
            yield f"Our node's answer to the block: {answers}."

    def _end(self, facts: HeightFacts) -> Iterator[str]:
        if facts.closed is None:
            yield "The height was open when this part of the trace ended."
            return
        block_hash, at_ms = facts.closed
        if facts.decided is None:
            yield f"Closed {self._after(at_ms)} by block {short(block_hash)}, which our node had from elsewhere."
        elif facts.decided.block_hash == block_hash:
            yield f"Block {short(block_hash)} was our node's tip {self._after(at_ms)}."
        else:
            yield f"FORK: closed {self._after(at_ms)} by block {short(block_hash)}, which is not the one decided."

    # --- small parts

    def _name(self, member: int) -> str:
        return f"member {member} (we)" if member == self._settings.member else f"member {member}"

    def _after(self, at_ms: int) -> str:
        return f"{at_ms - self._zero_ms:+} ms"

    def _when(self, times: dict[int, int]) -> str:
        """Members with the moment of each."""
        return ", ".join(f"{member} ({times[member] - self._zero_ms:+})" for member in sorted(times))

    @staticmethod
    def _moments(facts: HeightFacts) -> Iterator[int]:
        for of_round in facts.rounds.values():
            for votes in (of_round.prevotes, of_round.precommits):
                yield from (vote.at_ms for vote in votes.values())


def _answer(answer: BlockSubmitted) -> str:
    told = answer.reason in ("", answer.outcome)
    return str(answer.outcome) if told else f"{answer.outcome} ({answer.reason})"


def _list(members: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, members))


def _most(votes: dict[int, Vote]) -> int:
    """The most votes that one block has."""
    hashes = [vote.block_hash for vote in votes.values() if vote.block_hash is not None]
    return max((hashes.count(block_hash) for block_hash in hashes), default=0)
