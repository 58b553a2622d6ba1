"""Block signatures of the open height, and what is kept of the height that closed last."""

from __future__ import annotations

from states.messages import BlockSignature


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


class ClosedHeight:
    """The decided block of the last height with its signatures: all that a straggler needs to close it too.

    ``closed_ms`` is our wall clock when it closed.
    """

    def __init__(self, height: int, closed_ms: int, proposal: bytes | None, signatures: tuple[bytes, ...]) -> None:
        self.height = height
        self.closed_ms = closed_ms
        self.answered: set[int] = set()
        self._proposal = proposal
        self._signatures = signatures

    def envelopes(self) -> tuple[bytes, ...]:
        """The proposal, if we have it, and every signature message."""
        return self._signatures if self._proposal is None else (self._proposal, *self._signatures)
