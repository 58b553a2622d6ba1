"""A federation whose members can seal anything, honest or not, for tests of envelopes."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import wallycore as wally

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
    VoteKind,
)
from transports.envelope import ENVELOPE_TAG, Envelope, Sealer, kind_of
from transports.identity import Identity, certify, signed_message_digest
from transports.limits import MAX_DRAFT_BYTES
from transports.opener import Opener
from transports.refusals import EnvelopeError, Reason

NOW = 1_700_000_000_000
CHAIN = bytes(range(32))
TIP = "7f" * 32


def block_hash_of(block: bytes) -> str:
    """Stands for a chain's codec: refuses short blocks, hashes the first 80 bytes."""
    if len(block) < 80:
        raise ValueError("truncated header")
    return hashlib.sha256(hashlib.sha256(block[:80]).digest()).digest()[::-1].hex()


BLOCK = bytes(range(80)) + b"transactions" * 20
HASH = block_hash_of(BLOCK)


@dataclass
class Member:
    """One member with its block-signing key and its identity."""

    number: int
    chain: bytes = CHAIN
    epoch: int = 0
    generation: int = 1  # of the identity key, and the serial of its certificate
    sequences: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def block_secret(self) -> bytes:
        return hashlib.sha256(b"block %d" % self.number).digest()

    @property
    def public_key(self) -> bytes:
        return bytes(wally.ec_public_key_from_private_key(self.block_secret))

    @property
    def identity(self) -> Identity:
        return Identity.from_secret(hashlib.sha256(b"identity %d %d" % (self.number, self.generation)).digest())

    def sign_text(self, text: str) -> bytes:
        return bytes(wally.ec_sig_from_bytes(self.block_secret, signed_message_digest(text), wally.EC_FLAG_ECDSA))

    def certificate(self) -> IdentityCertificate:
        return certify(
            self.sign_text,
            chain=self.chain,
            member=self.number,
            public_key=self.public_key,
            identity_key=self.identity.public_key,
            serial=self.generation,
        )

    def seal(self, message: Message) -> bytes:
        return Sealer(self.chain, self.epoch, self.number, self.identity.secret, next(self.sequences)).seal(message)

    def heartbeat(self, members: int = 3, **changes: Any) -> Heartbeat:
        fields: dict[str, Any] = {
            "height": 10,
            "round": 0,
            "version": "0.1.0",
            "tip": TIP,
            "state": "idle",
            "time_ms": 1_700_000_000_000,
            "fresh": False,
            "serials": (0,) * members,
            "certificate": self.certificate(),
        }
        return Heartbeat(**(fields | changes))

    def block_signature(self, certificate: QuorumProof, block_hash: str = HASH, **changes: Any) -> BlockSignature:
        digest = bytes.fromhex(block_hash)[::-1]
        compact = wally.ec_sig_from_bytes(self.block_secret, digest, wally.EC_FLAG_ECDSA)
        fields: dict[str, Any] = {
            "height": certificate.height,
            "round": certificate.round,
            "block_hash": block_hash,
            "signature": bytes(wally.ec_sig_to_der(compact)),
            "certificate": certificate,
        }
        return BlockSignature(**(fields | changes))


class Federation:
    """Members 0 to ``size`` - 1 with quorum 2 of 3 (or as given)."""

    def __init__(self, size: int = 3, quorum: int = 2) -> None:
        self.members = [Member(number) for number in range(size)]
        self.quorum = quorum

    def opener(self, *, acquainted: bool = True, **options: Any) -> Opener:
        """A receiver; ``acquainted`` with all identities, or a newcomer that knows none."""
        opener = Opener(
            CHAIN,
            0,
            [member.public_key for member in self.members],
            self.quorum,
            block_hash_of=block_hash_of,
            verify_block_signature=self.verify_block_signature,
            **options,
        )
        if acquainted:
            for member in self.members:
                opener.identities.learn(member.certificate())
        return opener

    def verify_block_signature(self, member: int, block_hash: str, der: bytes) -> bool:
        try:
            compact = wally.ec_sig_from_der(der)
            digest = bytes.fromhex(block_hash)[::-1]
            wally.ec_sig_verify(self.members[member].public_key, digest, wally.EC_FLAG_ECDSA, compact)
        except ValueError:
            return False
        return True

    def proof(
        self,
        kind: VoteKind,
        voters: tuple[int, ...] = (0, 1),
        *,
        height: int = 10,
        round: int = 0,  # noqa: A002 - the field's name
        block_hash: str = HASH,
    ) -> QuorumProof:
        vote = (Prevote if kind == "prevote" else Precommit)(height, round, block_hash)
        envelopes = tuple(self.members[voter].seal(vote) for voter in voters)
        return QuorumProof(kind, height, round, block_hash, voters, envelopes)

    def one_of_each(self) -> dict[str, Message]:
        """A valid message of member 0 of every kind, two of the kinds that can carry more."""
        return {
            "proposal": Proposal(10, 0, HASH, BLOCK),
            "re-proposal": Proposal(10, 3, HASH, BLOCK, self.proof("prevote", round=1)),
            "prevote": Prevote(10, 0, HASH),
            "nil prevote": Prevote(10, 0, None),
            "precommit": Precommit(10, 0, HASH),
            "signature": self.members[0].block_signature(self.proof("precommit")),
            "block-request": BlockRequest(10, 0, HASH, 1),
            "heartbeat": self.members[0].heartbeat(len(self.members)),
            "reissue-draft": ReissueDraft(10, 2, HASH, HASH, b"draft"),
            "reissue-signature": ReissueSignature(10, 2, HASH, HASH, bytes(MAX_DRAFT_BYTES), (bytes(72),) * 8),
        }


def refused(opener: Opener, data: bytes) -> EnvelopeError:
    with pytest.raises(EnvelopeError) as caught:
        opener.open(data, NOW)
    return caught.value


def reason_of(opener: Opener, data: bytes) -> Reason:
    return refused(opener, data).reason


def reseal(data: bytes, author: Member, **changes: Any) -> bytes:
    """The envelope with other outer fields, signed again by its author: what a faulty member can make."""
    fields = msgspec.structs.asdict(decode_outer(data)) | changes
    values = [fields[name] for name in Envelope.__struct_fields__[:-1]]
    digest = wally.bip340_tagged_hash(msgspec.msgpack.encode(values), ENVELOPE_TAG)
    signature = wally.ec_sig_from_bytes(author.identity.secret, digest, wally.EC_FLAG_SCHNORR)
    return msgspec.msgpack.encode([*values, bytes(signature)])


def decode_outer(data: bytes) -> Envelope:
    return msgspec.msgpack.decode(data, type=Envelope)


def force_seal(author: Member, message: Message) -> bytes:
    """Seal what an honest Sealer refuses."""
    honest = author.seal(Prevote(message.height, message.round, None))
    return reseal(honest, author, kind=kind_of(message), payload=msgspec.msgpack.encode(message))
