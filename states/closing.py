"""Block signatures of the open height, the last step of its block, and what is kept of the height before."""

from __future__ import annotations

from states.effects import PATIENCE_RESENDS, CombineBlock, SubmitBlock
from states.messages import BlockSignature

# Votes that were on their way when a height closed need no answer. In resend intervals.
GRACE_RESENDS = 2


class Signatures:
    """Verified block signatures by block hash and member; the first of each member for a hash counts."""

    def __init__(self) -> None:
        self._by_hash: dict[str, dict[int, tuple[bytes, bytes]]] = {}

    def add(self, member: int, message: BlockSignature, envelope: bytes) -> tuple[bytes, ...]:
        """Keep a signature. Returns two envelopes as evidence if the member signed another block here."""
        given = [h for h, signed in self._by_hash.items() if member in signed]
        if message.block_hash in given:
            return ()
        if given:
            return (self._by_hash[given[0]][member][1], envelope)
        self._by_hash.setdefault(message.block_hash, {})[member] = (message.signature, envelope)
        return ()

    def count(self, block_hash: str) -> int:
        """How many members signed this block."""
        return len(self._by_hash.get(block_hash, {}))

    def first(self, block_hash: str, count: int) -> tuple[tuple[int, bytes], ...]:
        """(member, DER) of ``count`` signers of this block, in member order."""
        signed = self._by_hash.get(block_hash, {})
        return tuple((member, signed[member][0]) for member in sorted(signed)[:count])

    def envelope(self, block_hash: str, member: int) -> bytes | None:
        """The envelope of a member's signature message."""
        signed = self._by_hash.get(block_hash, {}).get(member)
        return None if signed is None else signed[1]

    def envelopes(self, block_hash: str) -> tuple[bytes, ...]:
        """The envelopes of all signature messages for this block, in member order."""
        signed = self._by_hash.get(block_hash, {})
        return tuple(signed[member][1] for member in sorted(signed))


class LastStep:
    """The order to combine or submit that was given last, and whether it is time to give it again."""

    def __init__(self) -> None:
        self._order: CombineBlock | SubmitBlock | None = None
        self._resends: int | None = None  # since it was given; None once it was answered
        self._refused = False

    @property
    def is_refused(self) -> bool:
        """Whether the last attempt was refused and no resend interval has passed since."""
        return self._refused

    def give(self, order: CombineBlock | SubmitBlock) -> CombineBlock | SubmitBlock:
        """Note the order that is given now."""
        self._order, self._resends = order, 0
        return order

    def answered(self, *, refused: bool = False) -> None:
        """The answer has come, or there will be none."""
        self._resends, self._refused = None, refused

    def after_resend(self) -> CombineBlock | SubmitBlock | None:
        """A resend interval has passed: the order, if it is to be given again."""
        self._refused = False
        if self._resends is not None:
            self._resends += 1
            if self._resends < PATIENCE_RESENDS:
                return None
        return self._order and self.give(self._order)


class ClosedHeight:
    """The decided block of the last height with its signatures: all that a straggler needs to close it too."""

    def __init__(self, height: int, proposal: bytes | None, signatures: tuple[bytes, ...]) -> None:
        self.height = height
        self._proposal = proposal
        self._signatures = signatures
        self._age = 0  # in resend intervals
        self._next_answer: dict[int, int] = {}

    def grow_older(self) -> None:
        """A resend interval has passed."""
        self._age += 1

    def answer(self, member: int) -> tuple[bytes, ...]:
        """What to send for a straggler: nothing at first, then less and less often, for a block is large."""
        if self._age < self._next_answer.get(member, GRACE_RESENDS):
            return ()
        self._next_answer[member] = 2 * self._age
        return self._signatures if self._proposal is None else (self._proposal, *self._signatures)
