"""Whatever arrives: an EnvelopeError or a member's true word, and no honest member is ever blamed."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from states.messages import BlockSignature, Precommit, Proposal, QuorumProof
from tests.fuzzing.mutation import mutate
from tests.fuzzing.targets import open_any
from tests.members import BLOCK, HASH, NOW, Federation, force_seal, reseal
from transports.envelope import decode, parse
from transports.refusals import EnvelopeError

FEDERATION = Federation()
ALICE = FEDERATION.members[0]
ENVELOPES = [ALICE.seal(message) for message in FEDERATION.one_of_each().values()]
RESEALED = 15_000
MALICIOUS_PROOFS = 5_000


@settings(max_examples=2_000, derandomize=True, database=None)
@given(st.binary(max_size=600))
@example(b"\x9a\x01" + b"\x91" * 10_000)
def test_arbitrary_bytes_only_ever_cause_an_envelope_error(data: bytes) -> None:
    error = open_any(FEDERATION.opener(acquainted=False), data, NOW)
    assert error is not None
    assert error.offender is None
    with pytest.raises(EnvelopeError):
        decode(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=11) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=1_000, derandomize=True, database=None)
@given(values)
def test_arbitrary_msgpack_as_payload_only_ever_convicts_its_author(value: object) -> None:
    data = reseal(ENVELOPES[2], ALICE, payload=msgspec.msgpack.encode(value))
    error = open_any(FEDERATION.opener(), data, NOW)
    assert error is not None
    assert error.offender == 0


def test_what_a_faulty_member_signs_is_its_own_fault_or_its_word() -> None:
    rng = random.Random(20_260_102)
    opener = FEDERATION.opener()
    for round_ in range(RESEALED):
        original = rng.choice(ENVELOPES)
        data = reseal(original, ALICE, payload=mutate(parse(original).payload, ENVELOPES, rng), sequence=round_)
        error = open_any(opener, data, NOW)
        assert error is None or error.offender in (None, 0)
    assert {reason for _, reason in opener.counters.offences} >= {
        "malformed",
        "mismatch",
        "bad-payload",
        "bad-proof",
    }


def test_mutated_votes_in_proofs_are_never_believed() -> None:
    rng = random.Random(20_260_103)
    opener = FEDERATION.opener()
    precommits = FEDERATION.proof("precommit", (0, 1))
    prevotes = FEDERATION.proof("prevote", (0, 1), round=1)
    signature = ALICE.block_signature(precommits)
    for _ in range(MALICIOUS_PROOFS):
        proof = rng.choice((precommits, prevotes))
        envelopes = list(proof.envelopes)
        place = rng.randrange(2)
        envelopes[place] = mutate(envelopes[place], ENVELOPES, rng)
        if envelopes[place] in ENVELOPES or envelopes[place] in proof.envelopes:
            continue
        changed = msgspec.structs.replace(proof, envelopes=tuple(envelopes))
        message = (
            msgspec.structs.replace(signature, certificate=changed)
            if proof is precommits
            else Proposal(10, 3, HASH, BLOCK, changed)
        )
        error = open_any(opener, force_seal(ALICE, message), NOW)
        assert error is not None
        assert error.reason in ("bad-proof", "unverified-vote")
        assert error.offender == (0 if error.reason == "bad-proof" else None)


def test_a_proof_of_many_votes_is_bounded() -> None:
    vote = ALICE.seal(Precommit(10, 0, HASH))
    for count in (21, 40):
        proof = QuorumProof("precommit", 10, 0, HASH, tuple(range(count)), (vote,) * count)
        message = BlockSignature(10, 0, HASH, b"\x30", proof)
        error = open_any(FEDERATION.opener(), force_seal(ALICE, message), NOW)
        assert error is not None
        assert error.reason in ("bad-proof", "oversize")


def test_a_long_list_of_numbers_in_a_small_kind_is_refused_unread() -> None:
    payload = msgspec.msgpack.encode(msgspec.to_builtins(ALICE.heartbeat()))
    serials = b"\xa7serials\xdd" + struct.pack(">I", 4_000_000) + bytes(4_000_000)
    data = reseal(ENVELOPES[-1], ALICE, payload=payload.replace(b"\xa7serials\x93\x00\x00\x00", serials))
    error = open_any(FEDERATION.opener(), data, NOW)
    assert error is not None
    assert error.reason == "oversize"
