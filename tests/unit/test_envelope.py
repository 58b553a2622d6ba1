"""Envelopes: what is sealed opens as it was, and nothing else opens."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import msgspec
import pytest
import wallycore as wally

from states.messages import (
    BlockRequest,
    IdentityCertificate,
    Message,
    Precommit,
    Prevote,
    Proposal,
    ReissueDraft,
    ReissueSignature,
)
from tests.members import (
    BLOCK,
    CHAIN,
    HASH,
    NOW,
    Federation,
    reason_of,
    refused,
    reseal,
)
from transports.envelope import Sealer, decode, message_of, parse
from transports.limits import (
    MAX_DRAFT_BYTES,
    MAX_HEIGHT,
    MAX_MESSAGE_BYTES,
    MAX_ROUND,
    MAX_SMALL_BYTES,
    max_bytes_of,
)
from transports.refusals import EnvelopeError, Reason

FEDERATION = Federation()
ALICE, BOB, CAROL = FEDERATION.members


@pytest.mark.parametrize("name", FEDERATION.one_of_each())
def test_a_sealed_message_opens_as_it_was(name: str) -> None:
    message = FEDERATION.one_of_each()[name]
    data = ALICE.seal(message)
    opened = FEDERATION.opener().open(data, NOW)
    assert (opened.sender, opened.message, opened.data) == (0, message, data)
    assert opened.envelope == decode(data)
    assert message_of(opened.envelope) == message


def test_the_wire_form_is_a_canonical_array_signed_by_bip340_over_a_tagged_hash() -> None:
    data = Sealer(CHAIN, 7, 1, BOB.identity.secret, 99).seal(Prevote(10, 2, HASH))
    fields = msgspec.msgpack.decode(data)
    assert fields[:8] == [1, CHAIN, 7, 1, "prevote", 10, 2, 99]
    assert msgspec.msgpack.decode(fields[8]) == {"type": "prevote", "height": 10, "round": 2, "block_hash": HASH}
    tag = hashlib.sha256(b"fedsm/envelope/1").digest()
    digest = hashlib.sha256(tag + tag + msgspec.msgpack.encode(fields[:9])).digest()
    wally.ec_sig_verify(BOB.identity.public_key, digest, wally.EC_FLAG_SCHNORR, fields[9])


def test_sequences_count_up_from_the_first() -> None:
    sealer = Sealer(CHAIN, 0, 0, ALICE.identity.secret, 41)
    assert [parse(sealer.seal(Prevote(1, 0, None))).sequence for _ in range(3)] == [41, 42, 43]


@pytest.mark.parametrize(
    "message",
    [
        Prevote(MAX_HEIGHT + 1, 0, None),
        Prevote(-1, 0, None),
        Precommit(1, MAX_ROUND + 1, None),
        Precommit(1, 2**70, None),
        Prevote(1, 0, HASH.upper()),
        BlockRequest(1, 0, HASH + "\n", 1),
        BlockRequest(1, 0, HASH, 20),
        Proposal(1, 0, HASH, b""),
        ReissueDraft(0, 0, HASH, HASH, b"draft"),
        ReissueDraft(10, 0, "gold", HASH, b"draft"),
        ReissueDraft(10, 0, HASH, HASH[1:], b"draft"),
        ReissueDraft(10, 0, HASH, HASH, b""),
        ReissueDraft(10, 0, HASH, HASH, bytes(MAX_DRAFT_BYTES + 1)),
        ReissueSignature(10, 0, HASH, HASH, b"draft", ()),
        ReissueSignature(10, 0, HASH, HASH, b"draft", (bytes(73),)),
        ReissueSignature(10, 0, HASH, HASH, b"draft", (bytes(70),) * 9),
        ALICE.heartbeat(serials=(0,) * 21),
        ALICE.heartbeat(state="idle\x1b[2J"),
        ALICE.heartbeat(version="9" * 65),
        ALICE.heartbeat(time_ms=-1),
        ALICE.heartbeat(tip="none"),
        ALICE.heartbeat(certificate=IdentityCertificate(0, bytes(31), 1, bytes(64))),
        ALICE.heartbeat(certificate=IdentityCertificate(0, bytes(32), 1, bytes(65))),
        ALICE.heartbeat(certificate=IdentityCertificate(0, bytes(32), 0, bytes(64))),
        ALICE.heartbeat(certificate=IdentityCertificate(20, bytes(32), 1, bytes(64))),
        ALICE.block_signature(FEDERATION.proof("precommit"), signature=b""),
        ALICE.block_signature(FEDERATION.proof("precommit"), signature=bytes(73)),
    ],
)
def test_nothing_is_sealed_that_peers_would_refuse(message: Message) -> None:
    with pytest.raises(EnvelopeError, match="bad-payload"):
        ALICE.seal(message)


def test_a_block_beyond_the_limit_is_not_sealed() -> None:
    with pytest.raises(EnvelopeError, match="oversize"):
        ALICE.seal(Proposal(1, 0, HASH, bytes(MAX_MESSAGE_BYTES)))


def test_the_largest_consensus_block_with_a_proof_of_twenty_fits() -> None:
    federation = Federation(20, 14)
    block = BLOCK[:80] + bytes(4_000_000 - 80)
    proof = federation.proof("prevote", tuple(range(20)), round=1)
    data = federation.members[3].seal(Proposal(10, 2, HASH, block, proof))
    assert federation.opener().open(data, NOW).sender == 3


def test_every_kind_but_proposals_is_small_even_in_the_largest_federation() -> None:
    federation = Federation(20, 20)
    late = {"height": MAX_HEIGHT, "round": MAX_ROUND}
    votes = federation.proof("precommit", tuple(range(20)), height=MAX_HEIGHT, round=MAX_ROUND)
    for message in (
        federation.members[19].heartbeat(20, **late, serials=(2**53 - 1,) * 20, state="s" * 64, version="v" * 64),
        federation.members[19].block_signature(votes),
        Precommit(MAX_HEIGHT, MAX_ROUND, HASH),
    ):
        assert federation.opener().open(federation.members[19].seal(message), NOW).message == message


@pytest.mark.parametrize("chain", [b"", bytes(31)])
def test_a_sealer_needs_a_chain(chain: bytes) -> None:
    with pytest.raises(ValueError, match="no envelope"):
        Sealer(chain, 0, 0, ALICE.identity.secret, 1)


# What bytes alone show


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"\x00", "malformed"),
        (b'10 {"height": 1}', "malformed"),
        (b"\x9a", "malformed"),
        (b"\x9a\x02", "version"),
        (b"\x93\x00", "version"),
        (b"\x9a\x01", "malformed"),
        (b"\xdd\xff\xff\xff\xff\x01", "malformed"),
        (b"\x91" * 100_000, "malformed"),
        (b"\x9a\x01" + b"\x91" * 100_000, "malformed"),
        (bytes(MAX_MESSAGE_BYTES + 1), "oversize"),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes, reason: Reason) -> None:
    error = refused(FEDERATION.opener(), data)
    assert (error.reason, error.sender, error.offender) == (reason, None, None)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\x81\xa4type\xa2\xff\xff",
        b"\x81\xa4type\xa7unknown",
        b"\x82\xa4type\xa7prevote\xa1a" + b"\x91" * 3_000,
        b"\x82\xa4type\xa9heartbeat\xa7serials\xdd\xff\xff\xff\xff",
        b"\x82\xa4type\xa8proposal\xa5block\xc6\xff\xff\xff\xff",
        b"\x82\xa4type\xa9heartbeat\xa5state\xd9\x02\xff\xff",
        msgspec.msgpack.encode(Prevote(10, 0, HASH)) + b"\x00",
    ],
)
def test_a_payload_that_is_no_message_convicts_its_author(payload: bytes) -> None:
    error = refused(FEDERATION.opener(), reseal(ALICE.seal(Prevote(10, 0, HASH)), ALICE, payload=payload))
    assert (error.reason, error.sender, error.offender) == ("malformed", 0, 0)


def test_a_payload_may_carry_fields_of_a_later_release() -> None:
    payload = msgspec.to_builtins(Prevote(10, 0, HASH)) | {"extension": [1, {"a": b"b"}]}
    data = reseal(ALICE.seal(Prevote(10, 0, HASH)), ALICE, payload=msgspec.msgpack.encode(payload))
    assert FEDERATION.opener().open(data, NOW).message == Prevote(10, 0, HASH)


@pytest.mark.parametrize("change", [{"kind": "precommit"}, {"height": 11}, {"round": 1}])
def test_envelope_and_message_must_agree(change: dict[str, Any]) -> None:
    error = refused(FEDERATION.opener(), reseal(ALICE.seal(Prevote(10, 0, HASH)), ALICE, **change))
    assert (error.reason, error.offender) == ("mismatch", 0)
    with pytest.raises(EnvelopeError, match="mismatch"):
        decode(reseal(ALICE.seal(Prevote(10, 0, HASH)), ALICE, **change))


def test_another_encoding_of_the_same_envelope_is_refused() -> None:
    data = ALICE.seal(Prevote(10, 0, HASH))
    assert data[-66:-64] == b"\xc4\x40"
    for other in (
        data + b"\x00",  # trailing byte
        b"\xdc\x00\x0a" + data[1:],  # a longer array header
        data[:-66] + b"\xc5\x00\x40" + data[-64:],  # a longer binary header
        b"\x9b" + data[1:] + b"\xc0",  # one more field
    ):
        assert reason_of(FEDERATION.opener(), other) == "malformed"


@pytest.mark.parametrize(
    ("name", "size"), [("prevote", MAX_SMALL_BYTES), ("heartbeat", MAX_SMALL_BYTES), ("signature", 16_384)]
)
def test_only_proposals_may_be_large(name: str, size: int) -> None:
    data = ALICE.seal(FEDERATION.one_of_each()[name])
    payload = msgspec.msgpack.decode(parse(data).payload)
    payload["padding"] = bytes(size)
    padded = reseal(data, ALICE, payload=msgspec.msgpack.encode(payload))
    assert reason_of(FEDERATION.opener(), padded) == "oversize"
    assert max_bytes_of(name, 1000) == 1000


@pytest.mark.parametrize("value", [-1, 2**63, 1.0, None, b"", [0], "an unreasonably long kind of a message"])
@pytest.mark.parametrize("position", range(8))
def test_outer_fields_out_of_type_or_bounds_are_malformed(position: int, value: object) -> None:
    fields = msgspec.msgpack.decode(ALICE.seal(Prevote(10, 0, HASH)))
    fields[position] = value
    assert reason_of(FEDERATION.opener(), msgspec.msgpack.encode(fields)) == "malformed"


def test_floats_never_pass_for_integers() -> None:
    payload = (
        b"\x84\xa4type\xa7prevote\xa6height\xcb" + struct.pack(">d", 10.0) + b"\xa5round\x00\xaablock_hash\xc0"
    )
    data = reseal(ALICE.seal(Prevote(10, 0, None)), ALICE, payload=payload)
    assert reason_of(FEDERATION.opener(), data) == "malformed"
