"""What members say to each other: typed structs, carried as the payload of a signed envelope.

Block hashes are 64 lower-case hex digits in display order (the byte-reversed form that node RPCs print);
``None`` as a vote's block hash is the nil vote of Tendermint. ``member`` numbers count from 0 in the order of
the public keys in the block-signing script. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VoteKind = Literal["prevote", "precommit"]


class QuorumProof(msgspec.Struct, frozen=True, tag="quorum-proof"):
    """Q votes of one kind for one block hash in one round, each as the envelope its voter signed.

    With precommits it is the certificate that decides a height (design: Q precommits for one hash in one
    round); with prevotes it is the proof-of-lock that a re-proposal carries. ``envelopes[i]`` is the complete
    signed envelope of ``voters[i]``; whoever receives a proof verifies every one of them before believing it.
    """

    vote: VoteKind
    height: int
    round: int
    block_hash: str
    voters: tuple[int, ...]
    envelopes: tuple[bytes, ...]


class Proposal(msgspec.Struct, frozen=True, tag="proposal"):
    """The block that the proposer of (height, round) puts to the vote.

    ``block`` is the unsigned block as serialised by the node. ``lock_proof`` names the latest earlier round
    in which Q members prevoted this very block (Tendermint's valid round), or is ``None`` for a new block.
    """

    height: int
    round: int
    block_hash: str
    block: bytes
    lock_proof: QuorumProof | None = None

    @property
    def valid_round(self) -> int:
        """The round the lock proof speaks of, -1 without one (Tendermint's validRound)."""
        return -1 if self.lock_proof is None else self.lock_proof.round


class Prevote(msgspec.Struct, frozen=True, tag="prevote"):
    """First-stage vote: the voter's node found the block valid and no lock forbids it; nil otherwise."""

    height: int
    round: int
    block_hash: str | None


class Precommit(msgspec.Struct, frozen=True, tag="precommit"):
    """Second-stage vote: the voter saw Q prevotes for the block and is locked on it; nil otherwise."""

    height: int
    round: int
    block_hash: str | None


class BlockSignature(msgspec.Struct, frozen=True, tag="signature"):
    """One member's signature over a decided block, with the certificate that decided it.

    ``signature`` is strict-DER, low-S ECDSA over the 32-byte block hash, without a sighash byte.
    ``round`` is the certificate's round.
    """

    height: int
    round: int
    block_hash: str
    signature: bytes
    certificate: QuorumProof


class BlockRequest(msgspec.Struct, frozen=True, tag="block-request"):
    """Asks ``holder``, who voted for this block, to send its proposal again: the body never reached us."""

    height: int
    round: int
    block_hash: str
    holder: int


class IdentityCertificate(msgspec.Struct, frozen=True, tag="identity"):
    """Binds a member's identity key to its block-signing key.

    ``identity_key`` is a 32-byte x-only public key (BIP-340). ``signature`` is a 64-byte compact ECDSA
    signature (r then s, big endian) by the block-signing key over the "Bitcoin Signed Message" digest of
    the certificate's text. ``serial`` grows with each new key of a member; the highest one wins.
    """

    member: int
    identity_key: bytes
    serial: int
    signature: bytes


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """A member's sign of life: where it stands and by which identity key it may be believed.

    ``height`` is the height being worked on (tip + 1) and ``tip`` the hash of the tip. ``serials[i]`` is the
    serial of the newest identity certificate the sender holds for member i (0: none), so that a member
    learns who still lacks its own. ``fresh`` says that the sender's guard was empty when it saw its first
    height and that this is still it. ``federation`` is the digest of its federation file (SHA-256, hex; empty
    without one).
    """

    height: int
    round: int
    version: str
    tip: str
    state: str
    time_ms: int
    fresh: bool
    serials: tuple[int, ...]
    certificate: IdentityCertificate
    federation: str = ""


class ReissueDraft(msgspec.Struct, frozen=True, tag="reissue-draft"):
    """The transaction that reissues an asset in a period, put forward by the member whose turn it is.

    ``height`` is the height at which the reissuance fell due, ``round`` counts the turns of leaders. ``asset`` and
    ``draft_id`` (the id of the unsigned transaction) are 64 lower-case hex digits in display order; ``draft`` is
    the unsigned transaction with its proofs.
    """

    height: int
    round: int
    asset: str
    draft_id: str
    draft: bytes


class ReissueSignature(msgspec.Struct, frozen=True, tag="reissue-signature"):
    """One member's signatures for a draft: strict DER without sighash byte, one for each input.

    The draft is part of it, so that one informed member informs all. ``height`` as in ReissueDraft.
    """

    height: int
    round: int
    asset: str
    draft_id: str
    draft: bytes
    signatures: tuple[bytes, ...]


Vote = Prevote | Precommit
ReissueMessage = ReissueDraft | ReissueSignature
Message = Proposal | Prevote | Precommit | BlockSignature | BlockRequest | Heartbeat | ReissueMessage
