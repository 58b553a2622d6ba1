"""The signed envelope in which every message travels, on every transport.

On the wire it is one canonical msgpack array::

    [version, chain, epoch, sender, kind, height, round, sequence, payload, signature]

``signature`` is BIP-340 by the sender's identity key over the BIP-340 tagged hash, tag "fedsm/envelope/1", of
the canonical msgpack array of the nine fields before it. Canonical: the shortest msgpack form of every value,
nothing left over. One envelope therefore has one encoding, and its bytes can be compared, cached and kept as
evidence. Any later version keeps "an array of at most fifteen, the version first".

The payload is the msgpack map of a message struct; fields that this release does not know are ignored in it.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import msgspec
import wallycore as wally

from states.messages import Message
from transports.limits import (
    MAX_EPOCH,
    MAX_HEIGHT,
    MAX_MEMBERS,
    MAX_MESSAGE_BYTES,
    MAX_ROUND,
    MAX_SEQUENCE,
    check_message,
    max_bytes_of,
)
from transports.refusals import EnvelopeError

ENVELOPE_VERSION = 1
ENVELOPE_TAG = "fedsm/envelope/1"

# msgpack: an array of 9 or 10 starts with 0x90 + length; 64 bytes of binary with c4 40.
_UNSIGNED_HEAD = b"\x99"
_SIGNED_HEAD = b"\x9a"
_SIGNATURE_HEAD = b"\xc4\x40"
_SIGNATURE_FIELD_BYTES = len(_SIGNATURE_HEAD) + 64

_encoder = msgspec.msgpack.Encoder()


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message with its author and place. ``chain`` is the genesis hash in internal byte order."""

    version: Annotated[int, msgspec.Meta(ge=ENVELOPE_VERSION, le=ENVELOPE_VERSION)]
    chain: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    epoch: Annotated[int, msgspec.Meta(ge=0, le=MAX_EPOCH)]
    sender: Annotated[int, msgspec.Meta(ge=0, lt=MAX_MEMBERS)]
    kind: Annotated[str, msgspec.Meta(max_length=32)]
    height: Annotated[int, msgspec.Meta(ge=0, le=MAX_HEIGHT)]
    round: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROUND)]
    sequence: Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
    payload: bytes
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


_envelope_decoder = msgspec.msgpack.Decoder(Envelope)
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def parse(data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Envelope:
    """Read the outer fields only; the payload stays closed and nothing is verified.

    Raises EnvelopeError: "oversize", "version" or "malformed".
    """
    if len(data) > max_bytes:
        raise EnvelopeError("oversize", f"{len(data)} bytes, at most {max_bytes}")
    if len(data) > 1 and data[0] & 0xF0 == 0x90 and data[1] < 0x80 and data[1] != ENVELOPE_VERSION:
        raise EnvelopeError("version", f"{data[1]}, this release speaks {ENVELOPE_VERSION}")
    try:
        envelope = _envelope_decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("malformed", str(error)) from None
    if _encoder.encode(envelope) != data:
        raise EnvelopeError("malformed", "not in canonical form", sender=envelope.sender)
    limit = max_bytes_of(envelope.kind, max_bytes)
    if len(data) > limit:
        raise EnvelopeError("oversize", f"{len(data)} bytes, at most {limit}", sender=envelope.sender)
    return envelope


def message_of(envelope: Envelope) -> Message:
    """Open the payload and check it against its bounds and the envelope's own fields.

    Raises EnvelopeError: "malformed", "mismatch", "bad-payload" or "bad-proof".
    """
    try:
        message = _message_decoder.decode(envelope.payload)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("malformed", f"payload: {error}", sender=envelope.sender) from None
    inner = (kind_of(message), message.height, message.round)
    outer = (envelope.kind, envelope.height, envelope.round)
    if inner != outer:
        raise EnvelopeError("mismatch", f"envelope says {outer}, payload {inner}", sender=envelope.sender)
    try:
        check_message(message)
    except EnvelopeError as error:
        error.sender = envelope.sender
        raise
    return message


def decode(data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Envelope:
    """Read an envelope and check that its payload is the message it announces; signatures are not verified.

    Raises EnvelopeError as parse and message_of do. For tools that look at recorded envelopes.
    """
    envelope = parse(data, max_bytes=max_bytes)
    message_of(envelope)
    return envelope


def kind_of(message: Message) -> str:
    """The message's tag, such as "prevote"."""
    return str(type(message).__struct_config__.tag)


def signed_by(data: bytes, envelope: Envelope, identity_key: bytes) -> bool:
    """Whether ``identity_key`` (32 bytes, x-only) signed this envelope; ``data`` is what it was parsed from."""
    digest = _digest(_UNSIGNED_HEAD + data[len(_SIGNED_HEAD) : -_SIGNATURE_FIELD_BYTES])
    try:
        wally.ec_sig_verify(identity_key, digest, wally.EC_FLAG_SCHNORR, envelope.signature)
    except ValueError:
        return False
    return True


class Sealer:
    """Makes one member's envelopes.

    ``identity_secret`` is its 32-byte identity key. ``first_sequence`` must be above every sequence used with
    this identity before, across restarts too: receivers drop heartbeats that do not advance it. Raises
    ValueError for a chain, epoch or sender that no envelope can name.
    """

    def __init__(
        self,
        chain: bytes,
        epoch: int,
        sender: int,
        identity_secret: bytes,
        first_sequence: int,
        *,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        if len(chain) != 32 or not 0 <= epoch <= MAX_EPOCH or not 0 <= sender < MAX_MEMBERS:
            raise ValueError(f"no envelope has chain {chain.hex()}, epoch {epoch}, sender {sender}")
        self._chain = chain
        self._epoch = epoch
        self._sender = sender
        self._secret = identity_secret
        self._sequences = itertools.count(first_sequence)
        self._max_bytes = max_bytes

    def seal(self, message: Message) -> bytes:
        """The signed envelope of a message, with the next sequence number.

        Raises EnvelopeError "oversize", "bad-payload" or "bad-proof" for what no peer would accept.
        """
        check_message(message)
        kind = kind_of(message)
        unsigned: bytes = _encoder.encode(
            (
                ENVELOPE_VERSION,
                self._chain,
                self._epoch,
                self._sender,
                kind,
                message.height,
                message.round,
                next(self._sequences),
                _encoder.encode(message),
            )
        )
        size, limit = len(unsigned) + _SIGNATURE_FIELD_BYTES, max_bytes_of(kind, self._max_bytes)
        if size > limit:
            raise EnvelopeError("oversize", f"{size} bytes, at most {limit}", sender=self._sender)
        signature = bytes(wally.ec_sig_from_bytes(self._secret, _digest(unsigned), wally.EC_FLAG_SCHNORR))
        return _SIGNED_HEAD + unsigned[len(_UNSIGNED_HEAD) :] + _SIGNATURE_HEAD + signature


def _digest(unsigned: bytes) -> bytes:
    return bytes(wally.bip340_tagged_hash(unsigned, ENVELOPE_TAG))
