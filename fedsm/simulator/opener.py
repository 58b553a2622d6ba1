"""A stand-in for transports/opener.py: what members believe of what arrives."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fedsm.simulator.wire import Wire, unseal
from states.messages import BlockSignature, Precommit, Prevote, Proposal, QuorumProof

CACHED = 2048


class Opener:
    """Believes what members' keys signed. A proof takes so many ``votes``.

    ``verifies`` says whether a member's key made a block signature.
    """

    def __init__(self, votes: int, verifies: Callable[[int, str, bytes], bool]) -> None:
        self._votes = votes
        self._verifies = verifies
        self.open = lru_cache(CACHED)(self._open)

    def _open(self, envelope: bytes) -> Wire | None:
        """What is in an envelope, or None if it is not believed."""
        wire = unseal(envelope)
        return wire if self.is_authentic(wire) and self.is_content_believed(wire) else None

    def is_authentic(self, wire: Wire) -> bool:
        """Whether its sender's own identity key signed it."""
        return wire.forger is None

    def is_content_believed(self, wire: Wire) -> bool:
        """Whether the signatures and votes in a message are real ones."""
        message = wire.message
        if isinstance(message, BlockSignature):
            is_signed = self.is_block_signature(wire.sender, message.block_hash, message.signature)
            return is_signed and self.is_proven(message.certificate)
        return not isinstance(message, Proposal) or message.lock_proof is None or self.is_proven(message.lock_proof)

    def is_block_signature(self, member: int, block_hash: str, signature: bytes) -> bool:
        """Whether the member's block-signing key made the signature."""
        return self._verifies(member, block_hash, signature)

    def is_proven(self, proof: QuorumProof) -> bool:
        """Whether Q different members voted for the block, each in an authentic envelope."""
        if not self._votes <= len(proof.voters) == len(set(proof.voters)) == len(proof.envelopes):
            return False
        vote = (Prevote if proof.vote == "prevote" else Precommit)(proof.height, proof.round, proof.block_hash)
        wires = [unseal(envelope) for envelope in proof.envelopes]
        return all(
            self.is_authentic(wire) and (wire.sender, wire.message) == (voter, vote)
            for voter, wire in zip(proof.voters, wires, strict=True)
        )
