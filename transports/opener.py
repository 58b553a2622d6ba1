"""Opens received envelopes: decides whether bytes from the network are a member's word.

Cheap checks come first, and nothing is remembered of bytes that were refused, so that an envelope which came
too early (before its sender's identity certificate) is opened when it is sent again. Repetitions are dropped
only for a moment, as echoes of the network: an envelope that its author sends again later is a question, from
a member that lacks something or to one that had to let it go, and must be heard. It is not verified twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from states.messages import (
    BlockSignature,
    Heartbeat,
    Message,
    Precommit,
    Prevote,
    Proposal,
    QuorumProof,
    Vote,
)
from transports.envelope import Envelope, message_of, parse, signed_by
from transports.identities import Identities
from transports.limits import MAX_MEMBERS, MAX_MESSAGE_BYTES, MAX_VOTE_BYTES
from transports.recent import Recent
from transports.refusals import FAULTS, EnvelopeCounters, EnvelopeError, Reason

SEEN_LIMIT = 8192  # opened envelopes whose repetition is noticed: a few heights of a federation of twenty
REPEAT_MS = 100  # an envelope that comes again within this time is an echo
VOTE_LIMIT = 4096  # verified votes that need no second verification when a proof carries them

_HEARTBEAT = "heartbeat"
# Of any height: a sign of life, and reissuances, which belong to periods.
_WITHOUT_FLOOR = frozenset({_HEARTBEAT, "reissue-draft", "reissue-signature"})
_VOTE_TYPES: dict[str, type[Vote]] = {"prevote": Prevote, "precommit": Precommit}


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified message of ``sender``; ``data`` is the envelope as it came, ``envelope`` the same, read."""

    sender: int
    message: Message
    envelope: Envelope
    data: bytes


class Opener:
    """Verifies envelopes of one federation epoch. Used from one thread.

    ``chain`` is the genesis hash in internal order, ``public_keys`` the members' block-signing keys in script
    order, ``quorum`` the votes that a proof needs. ``block_hash_of`` gives the display hash of a serialised
    block and raises ValueError for anything else; ``verify_block_signature(member, block_hash, der)`` says
    whether the member's block-signing key made this strict-DER signature. ``pinned`` maps members to identity
    keys fixed by configuration.

    The same bytes within ``repeat_ms`` are refused as "duplicate"; it must be shorter than the interval at
    which members send again. Envelopes below the height ``floor`` are refused as "stale-height", except
    heartbeats and messages about reissuances; the engine moves it.
    """

    def __init__(
        self,
        chain: bytes,
        epoch: int,
        public_keys: Sequence[bytes],
        quorum: int,
        *,
        block_hash_of: Callable[[bytes], str],
        verify_block_signature: Callable[[int, str, bytes], bool],
        pinned: Mapping[int, bytes] | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
        repeat_ms: int = REPEAT_MS,
    ) -> None:
        if not 0 < quorum <= len(public_keys) <= MAX_MEMBERS:
            raise ValueError(f"no federation has {len(public_keys)} members and a quorum of {quorum}")
        self.identities = Identities(chain, public_keys, pinned)
        self.counters = EnvelopeCounters()
        self.floor = 0
        self._chain = chain
        self._epoch = epoch
        self._quorum = quorum
        self._block_hash_of = block_hash_of
        self._verify_block_signature = verify_block_signature
        self._max_bytes = max_bytes
        self._repeat_ms = repeat_ms
        self._seen: Recent[bytes, tuple[int, int]] = Recent(SEEN_LIMIT)  # sender and when
        self._votes: Recent[bytes, tuple[int, Message]] = Recent(VOTE_LIMIT)
        self._heartbeats: dict[int, tuple[bytes, int]] = {}  # by sender: certified key and last sequence

    def open(self, data: bytes, now_ms: int) -> Opened:
        """The verified content of an envelope; counted either way. Raises EnvelopeError and nothing else.

        ``now_ms`` is any clock in milliseconds; it only tells echoes from envelopes sent again.
        """
        try:
            opened = self._open(data, now_ms)
        except EnvelopeError as error:
            self.counters.count_refusal(error)
            raise
        self.counters.opened[opened.sender] += 1
        return opened

    def _open(self, data: bytes, now_ms: int) -> Opened:
        if len(data) > self._max_bytes:
            raise EnvelopeError("oversize", f"{len(data)} bytes, at most {self._max_bytes}")
        index = _index(data)
        seen = self._seen.get(index)
        if seen is not None and 0 <= now_ms - seen[1] < self._repeat_ms:
            raise EnvelopeError("duplicate", sender=seen[0])
        envelope = parse(data, max_bytes=self._max_bytes)
        self._check_place(envelope)
        verified = seen is not None and envelope.kind != _HEARTBEAT
        if not verified and self._votes.get(index) is None:  # a proof may have brought a vote before its voter did
            self._authenticate(data, envelope)
        try:
            message = message_of(envelope)
            if not verified:
                self._check_content(envelope, message)
        except EnvelopeError as error:
            error.sender = envelope.sender
            error.offender = envelope.sender if error.reason in FAULTS else None
            raise
        self._seen.put(index, (envelope.sender, now_ms))
        if isinstance(message, Prevote | Precommit):
            self._votes.put(index, (envelope.sender, message))
        return Opened(envelope.sender, message, envelope, data)

    def _check_place(self, envelope: Envelope) -> None:
        sender = envelope.sender
        if envelope.chain != self._chain:
            raise EnvelopeError("wrong-chain", envelope.chain[::-1].hex(), sender=sender)
        if envelope.epoch != self._epoch:
            raise EnvelopeError("wrong-epoch", str(envelope.epoch), sender=sender)
        if sender >= self.identities.size:
            raise EnvelopeError("unknown-sender", str(sender), sender=sender)
        if envelope.height < self.floor and envelope.kind not in _WITHOUT_FLOOR:
            raise EnvelopeError("stale-height", f"{envelope.height} is below {self.floor}", sender=sender)

    def _authenticate(self, data: bytes, envelope: Envelope) -> None:
        sender = envelope.sender
        message = message_of(envelope) if envelope.kind == _HEARTBEAT else None
        if isinstance(message, Heartbeat):
            # The key comes with the message. What it signed is believed only once the certificate is: learn()
            # is last, and until then the sender is not proven.
            if message.certificate.member != sender:
                raise EnvelopeError("mismatch", "certificate of another member", sender=sender)
            key: bytes | None = message.certificate.identity_key
        else:
            key = self.identities.key_of(sender)
        if key is None:
            raise EnvelopeError("no-identity", f"member {sender}", sender=sender)
        if not signed_by(data, envelope, key):
            raise EnvelopeError("bad-signature", sender=sender)
        if isinstance(message, Heartbeat):
            self.identities.learn(message.certificate)

    def _check_content(self, envelope: Envelope, message: Message) -> None:
        match message:
            case Proposal():
                self._check_block_hash(message)
                if message.lock_proof is not None:
                    self._check_proof(message.lock_proof)
            case BlockSignature():
                if not self._verify_block_signature(envelope.sender, message.block_hash, message.signature):
                    raise EnvelopeError("bad-block-signature", message.block_hash)
                self._check_proof(message.certificate)
            case Heartbeat():
                self._check_heartbeat(envelope, message)

    def _check_block_hash(self, proposal: Proposal) -> None:
        try:
            block_hash = self._block_hash_of(proposal.block)
        except ValueError as error:
            raise EnvelopeError("bad-payload", f"block: {error}") from None
        if block_hash != proposal.block_hash:
            raise EnvelopeError("bad-payload", f"block {block_hash} proposed as {proposal.block_hash}")

    def _check_heartbeat(self, envelope: Envelope, heartbeat: Heartbeat) -> None:
        if len(heartbeat.serials) != self.identities.size:
            raise EnvelopeError("bad-payload", f"{len(heartbeat.serials)} serials")
        key = heartbeat.certificate.identity_key
        last_key, last_sequence = self._heartbeats.get(envelope.sender, (key, -1))
        if key == last_key and envelope.sequence <= last_sequence:
            raise EnvelopeError("replayed", f"sequence {envelope.sequence} after {last_sequence}")
        self._heartbeats[envelope.sender] = (key, envelope.sequence)

    def _check_proof(self, proof: QuorumProof) -> None:
        """Believe a proof: Q members' votes for its block, all verified. limits.check_message has seen it."""
        if len(proof.voters) < self._quorum:
            raise EnvelopeError("bad-proof", f"{len(proof.voters)} votes, {self._quorum} needed")
        expected = _VOTE_TYPES[proof.vote](proof.height, proof.round, proof.block_hash)
        read = [
            (data, self._read_vote(voter, expected, data))
            for voter, data in zip(proof.voters, proof.envelopes, strict=True)
        ]
        for data, envelope in read:
            if envelope is not None:
                self._verify_vote(data, envelope)
                self._votes.put(_index(data), (envelope.sender, expected))

    def _read_vote(self, voter: int, expected: Vote, data: bytes) -> Envelope | None:
        """Check that this is the voter's envelope with the expected vote; ``None`` if it was verified before."""
        known = self._votes.get(_index(data))
        envelope = None
        if known is None:
            try:
                envelope = parse(data, max_bytes=MAX_VOTE_BYTES)
                self._check_place(envelope)
                known = (envelope.sender, message_of(envelope))
            except EnvelopeError as error:
                raise EnvelopeError("bad-proof", f"vote of member {voter}: {error}") from None
        if known != (voter, expected):
            raise EnvelopeError("bad-proof", f"not the vote of member {voter} that the proof claims")
        return envelope

    def _verify_vote(self, data: bytes, envelope: Envelope) -> None:
        key = self.identities.key_of(envelope.sender)
        if key is None:
            raise EnvelopeError("no-identity", f"voter {envelope.sender}")
        if not signed_by(data, envelope, key):
            # With a learned identity this may be an honest proof: its voter may just have changed keys.
            reason: Reason = "bad-proof" if self.identities.is_pinned(envelope.sender) else "unverified-vote"
            raise EnvelopeError(reason, f"voter {envelope.sender}")


def _index(data: bytes) -> bytes:
    # A key for our own tables, on blocks of megabytes too: hashlib's SHA-256 is several times faster than wally's.
    return hashlib.sha256(data).digest()
