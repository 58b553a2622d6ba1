"""What is under way, as a set of bits: messages, blocks that nodes have, and facts that only the watch looks at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TypeVar

from msgspec import structs

from fedsm.simulator.model.bounds import Case
from fedsm.simulator.model.host import Deliver, Follow, Input, Local
from fedsm.simulator.model.likeness import PROOF_OF, message_likeness
from fedsm.simulator.model.witness import Fact
from fedsm.simulator.wire import Wire, seal, unseal
from states.messages import BlockSignature, Heartbeat, Message, Precommit, Prevote, QuorumProof

K = TypeVar("K")


class Alphabet:
    """Numbers everything that was ever said in a case, as it is first said.

    ``blocks`` has the complete blocks of a height.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._numbers: dict[object, int] = {}
        self.letters: list[bytes | str | Fact] = []
        self.blocks: dict[int, int] = {}
        self._copies: list[tuple[int, int]] = []  # with what must be under way for each
        self._siblings: dict[int, int] = {}
        self._to_be_had: dict[int, int] = {}
        self._by_sender: dict[int, int] = {}
        self._always: dict[int, int] = {}  # of a height: heard in every round
        self._signatures: dict[int, int] = {}  # of a height
        self._votes: dict[tuple[str, int, int], int] = {}  # kind, height, and the last round in which it is heard

    def __len__(self) -> int:
        return len(self.letters)

    def message(self, envelope: bytes) -> int:
        """The bit of a message; 0 for one that is beyond the bounds of the case and so is lost."""
        wire = message_likeness(envelope)
        number = self._numbers.get(wire)
        if number is not None:
            return 1 << number
        message = wire.message
        if isinstance(message, Heartbeat) or not self._case.is_within(message.height, message.round):
            return 0
        bit = self._add(envelope, wire)
        field = PROOF_OF.get(type(message))
        proof = None if field is None else getattr(message, field)
        if proof is None:
            self._sort(wire.sender, message, bit)
        else:
            self._add_copies(wire, str(field), proof, bit)
        return bit

    def _add_copies(self, wire: Wire, field: str, proof: QuorumProof, bit: int) -> None:
        """The message with the votes of any Q members, each to be had as soon as those votes are under way."""
        kind = Prevote if proof.vote == "prevote" else Precommit
        vote = kind(proof.height, proof.round, proof.block_hash)
        siblings, first = 0, len(self._copies)
        for voters in combinations(range(self._case.quorum.members), self._case.quorum.votes):
            envelopes = tuple(seal(voter, vote) for voter in voters)
            complete = structs.replace(proof, voters=voters, envelopes=envelopes)
            message = structs.replace(wire.message, **{field: complete})
            copy = self._add(seal(wire.sender, message))
            needed = bit
            for envelope in envelopes:
                needed |= self.message(envelope)
            self._copies.append((copy, needed))
            self._sort(wire.sender, message, copy)
            siblings |= copy
        for copy, _ in self._copies[first:]:
            self._siblings[copy.bit_length() - 1] = siblings

    def to_be_had(self, under_way: int) -> int:
        """What can be delivered: with messages that carry a proof, the copies whose votes are under way."""
        known = self._to_be_had.get(under_way)
        if known is None:
            known = under_way
            for copy, needed in self._copies:
                if under_way & needed == needed:
                    known |= copy
            self._to_be_had[under_way] = known
        return known

    def taken_in(self, number: int) -> int:
        """What need not be delivered any more after this: itself, and other copies of it."""
        return self._siblings.get(number, 1 << number)

    def _sort(self, sender: int, message: Message, bit: int) -> None:
        _put(self._by_sender, sender, bit)
        if isinstance(message, BlockSignature):
            _put(self._signatures, message.height, bit)
            _put(self._always, message.height, bit)
        elif isinstance(message, Prevote):
            self._add_vote("prevote" if message.block_hash else "nil prevote", message, bit)
        elif isinstance(message, Precommit) and message.block_hash is None:
            self._add_vote("nil precommit", message, bit)
        else:
            _put(self._always, message.height, bit)

    def _add_vote(self, kind: str, vote: Prevote | Precommit, bit: int) -> None:
        for round_ in range(vote.round + 1):
            _put(self._votes, (kind, vote.height, round_), bit)

    def audible_to(self, local: Local) -> int:
        """What makes a difference to a member: some messages of others at its height, and the next block.

        Those of later heights wait in its mailbox until it gets there, as if they came then.
        """
        height, ears, votes = len(local.chain), local.ears, self._votes
        if ears is None:
            return 0
        said = self._signatures.get(height, 0)
        if not ears.is_decided:
            said = self._always.get(height, 0)
            said |= votes.get(("prevote", height, ears.prevotes_from), 0)
            said |= votes.get(("nil prevote", height, ears.nil_prevotes_from), 0)
            said |= votes.get(("nil precommit", height, ears.nil_precommits_from), 0)
        return (said & ~self._by_sender.get(local.member, 0)) | self.blocks.get(height, 0)

    def block(self, height: int, block_hash: str) -> int:
        """The bit of a complete block that some node has."""
        number = self._numbers.get(block_hash)
        if number is not None:
            return 1 << number
        bit = self._add(block_hash)
        _put(self.blocks, height, bit)
        return bit

    def fact(self, fact: Fact) -> int:
        """The bit of a fact."""
        number = self._numbers.get(fact)
        return self._add(fact) if number is None else 1 << number

    def _add(self, letter: bytes | str | Fact, likeness: object = None) -> int:
        self._numbers[likeness or letter] = len(self.letters)
        self.letters.append(letter)
        return 1 << (len(self.letters) - 1)

    def input(self, number: int) -> Input:
        """How a letter reaches a member."""
        letter = self.letters[number]
        if isinstance(letter, tuple):
            raise TypeError(f"nobody hears of the fact {letter}")
        return Follow(letter) if isinstance(letter, str) else Deliver(letter)

    def words(self, mask: int) -> Iterator[str]:
        """The messages and blocks of a set, for people to read."""
        for letter in self.of(mask):
            if isinstance(letter, bytes):
                message = unseal(letter).message
                block_hash = getattr(message, "block_hash", None)
                yield f"{type(message).__name__} {short(block_hash)} (round {message.round})"
            elif isinstance(letter, str):
                yield f"complete block {short(letter)}"

    def of(self, mask: int) -> Iterator[bytes | str | Fact]:
        """The letters of a set."""
        for number in numbers(mask):
            yield self.letters[number]


def short(block_hash: str | None) -> str:
    """Who proposed a block in which round (block_name)."""
    if block_hash is None:
        return "nil"
    height, round_, member, kind = (int(block_hash[at : at + 8], 16) for at in range(0, 32, 8))
    return f"h{height}r{round_}m{member}" + "ab"[kind - 1 : kind] * (kind > 0)


def _put(masks: dict[K, int], key: K, bit: int) -> None:
    masks[key] = masks.get(key, 0) | bit


def numbers(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
