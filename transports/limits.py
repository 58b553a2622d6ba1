"""Bounds on everything a peer can send, and the check of a message's fields against them.

The same check runs before sealing and after opening, so that a member never says what its peers would refuse.
"""

from __future__ import annotations

import re

from states.messages import (
    BlockRequest,
    BlockSignature,
    Heartbeat,
    IdentityCertificate,
    Message,
    Precommit,
    Prevote,
    Proposal,
    QuorumProof,
    ReissueDraft,
    ReissueSignature,
)
from transports.refusals import EnvelopeError

# Consensus caps a serialised block at 4,000,000 bytes (MAX_BLOCK_SERIALIZED_SIZE in Elements and Ocean) and a
# proposal carries it raw, beside a proof of at most 10 kB. Twice that leaves room for a chain with larger blocks.
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
# Only proposals may be large: everything else is refused by size before its hash is computed.
MAX_SMALL_BYTES = 4096  # votes, requests and heartbeats; real ones are below 1 kB
MAX_SIGNATURE_BYTES = 16_384  # a block signature with a certificate of MAX_MEMBERS votes
MAX_DRAFT_BYTES = 20_000  # a reissuance transaction with its proofs; real ones are below 6 kB
MAX_REISSUE_BYTES = MAX_DRAFT_BYTES + MAX_SMALL_BYTES  # with signatures for two inputs and everything else
MAX_VOTE_BYTES = 512  # a vote inside a proof; real ones are below 300 bytes

MAX_MEMBERS = 20  # keys that OP_CHECKMULTISIG takes (MAX_PUBKEYS_PER_MULTISIG)
MAX_HEIGHT = 2**31 - 1  # nodes keep heights in an int32
MAX_ROUND = 10_000_000  # a year of three-second rounds at one height
MAX_EPOCH = 2**31 - 1
MAX_SEQUENCE = 2**63 - 1
MAX_SERIAL = 2**53 - 1  # the largest integer that JSON tools keep exactly
MAX_TIME_MS = 2**53 - 1
MAX_INPUTS = 8  # of a reissuance transaction; ours have two
MAX_DER_BYTES = 72  # a DER signature without sighash byte
MAX_TEXT = 64  # version and state in a heartbeat

_HASH = re.compile(r"[0-9a-f]{64}")


_MOST_BYTES = {
    "signature": MAX_SIGNATURE_BYTES,
    "reissue-draft": MAX_REISSUE_BYTES,
    "reissue-signature": MAX_REISSUE_BYTES,
}


def max_bytes_of(kind: str, max_bytes: int) -> int:
    """The largest envelope of this kind, where ``max_bytes`` bounds those that carry a block."""
    if kind == "proposal":
        return max_bytes
    return min(max_bytes, _MOST_BYTES.get(kind, MAX_SMALL_BYTES))


def check_message(message: Message) -> None:
    """Raise EnvelopeError "bad-payload" for a field out of bounds, "bad-proof" for a proof of something else."""
    _require(0 <= message.height <= MAX_HEIGHT, "height")
    _require(0 <= message.round <= MAX_ROUND, "round")
    match message:
        case Prevote() | Precommit():
            _require(message.block_hash is None or _is_hash(message.block_hash), "block_hash")
        case BlockRequest():
            _require(_is_hash(message.block_hash), "block_hash")
            _require(0 <= message.holder < MAX_MEMBERS, "holder")
        case Proposal():
            _check_proposal(message)
        case BlockSignature():
            _check_block_signature(message)
        case Heartbeat():
            _check_heartbeat(message)
        case ReissueDraft():
            _check_draft(message)
        case ReissueSignature():
            _check_draft(message)
            _require(1 <= len(message.signatures) <= MAX_INPUTS, "signatures")
            _require(all(0 < len(der) <= MAX_DER_BYTES for der in message.signatures), "signatures")


def _check_draft(message: ReissueDraft | ReissueSignature) -> None:
    _require(message.height > 0, "height")
    _require(_is_hash(message.asset), "asset")
    _require(_is_hash(message.draft_id), "draft_id")
    _require(0 < len(message.draft) <= MAX_DRAFT_BYTES, "draft")


def _check_proposal(proposal: Proposal) -> None:
    _require(_is_hash(proposal.block_hash), "block_hash")
    _require(len(proposal.block) > 0, "block")
    proof = proposal.lock_proof
    if proof is not None:
        _check_proof(proof, "prevote", proposal.height, proposal.block_hash)
        _require_proof(0 <= proof.round < proposal.round, "round")


def _check_block_signature(signature: BlockSignature) -> None:
    _require(_is_hash(signature.block_hash), "block_hash")
    _require(0 < len(signature.signature) <= MAX_DER_BYTES, "signature")
    _check_proof(signature.certificate, "precommit", signature.height, signature.block_hash)
    _require_proof(signature.certificate.round == signature.round, "round")


def _check_proof(proof: QuorumProof, vote: str, height: int, block_hash: str) -> None:
    _require_proof(proof.vote == vote, "vote")
    _require_proof(proof.height == height, "height")
    _require_proof(proof.block_hash == block_hash, "block_hash")
    _require_proof(len(proof.voters) == len(proof.envelopes) <= MAX_MEMBERS, "number of voters")
    _require_proof(len(set(proof.voters)) == len(proof.voters), "distinct voters")


def _check_heartbeat(heartbeat: Heartbeat) -> None:
    _require(_is_hash(heartbeat.tip), "tip")
    _require(_is_label(heartbeat.version), "version")
    _require(_is_label(heartbeat.state), "state")
    _require(heartbeat.federation == "" or _is_hash(heartbeat.federation), "federation")
    _require(0 <= heartbeat.time_ms <= MAX_TIME_MS, "time_ms")
    _require(len(heartbeat.serials) <= MAX_MEMBERS, "serials")
    _require(all(0 <= serial <= MAX_SERIAL for serial in heartbeat.serials), "serials")
    _check_certificate(heartbeat.certificate)


def _check_certificate(certificate: IdentityCertificate) -> None:
    _require(0 <= certificate.member < MAX_MEMBERS, "certificate member")
    _require(len(certificate.identity_key) == 32, "certificate identity_key")
    _require(0 < certificate.serial <= MAX_SERIAL, "certificate serial")
    _require(len(certificate.signature) == 64, "certificate signature")


def _is_hash(text: str) -> bool:
    return _HASH.fullmatch(text) is not None


def _is_label(text: str) -> bool:
    # Shown on operators' terminals, so no control characters.
    return len(text) <= MAX_TEXT and text.isascii() and text.isprintable()


def _require(holds: bool, field: str) -> None:
    if not holds:
        raise EnvelopeError("bad-payload", field)


def _require_proof(holds: bool, field: str) -> None:
    if not holds:
        raise EnvelopeError("bad-proof", field)
