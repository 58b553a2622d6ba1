"""Whatever arrives: an EnvelopeError or a member's true word, and no honest member is ever blamed."""

from __future__ import annotations

import random
import struct

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from states.messages import BlockSignature, Precommit, Proposal, QuorumProof
from tests.members import BLOCK, HASH, NOW, Federation, force_seal, reseal
from transports.envelope import decode, parse
from transports.limits import check_message
from transports.opener import Opener
from transports.refusals import REASONS, EnvelopeError

FEDERATION = Federation()
ALICE = FEDERATION.members[0]
ENVELOPES = [ALICE.seal(message) for message in FEDERATION.one_of_each().values()]
MUTATED = 200_000
RESEALED = 15_000
MALICIOUS_PROOFS = 5_000

# Headers that announce up to 4 GiB, and openings of endless nesting.
BOMBS = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xdc\xff\xff",
    b"\x91" * 2_000,
    b"\x81\xa1a" * 1_000,
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three flips, cuts, additions or splices."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 2:
                del changed[at:]
            case 3:
                changed += rng.randbytes(rng.randint(1, 40))
            case 4:
                del changed[at : at + rng.randint(1, 40)]
            case 5:
                changed[at:at] = rng.choice(BOMBS)
            case _:
                other = rng.choice(ENVELOPES)
                start = rng.randrange(len(other))
                changed[at : at + rng.randrange(80)] = other[start : start + rng.randrange(80)]
    return bytes(changed)


def outcome(opener: Opener, data: bytes, now_ms: int) -> EnvelopeError | None:
    """The refusal, or ``None`` for an envelope that was opened; any other exception fails the test."""
    try:
        opened = opener.open(data, now_ms)
    except EnvelopeError as error:
        refusal = error
    else:
        assert opened.data == data
        check_message(opened.message)
        return None
    assert refusal.reason in REASONS
    return refusal


@settings(max_examples=2_000, derandomize=True, database=None)
@given(st.binary(max_size=600))
@example(b"\x9a\x01" + b"\x91" * 10_000)
def test_arbitrary_bytes_only_ever_cause_an_envelope_error(data: bytes) -> None:
    error = outcome(FEDERATION.opener(acquainted=False), data, NOW)
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
    error = outcome(FEDERATION.opener(), data, NOW)
    assert error is not None
    assert error.offender == 0


def test_mutated_envelopes_are_refused_and_blame_nobody() -> None:
    rng = random.Random(20_260_101)
    opener = FEDERATION.opener()
    for round_ in range(MUTATED):
        data = mutate(rng.choice(ENVELOPES), rng)
        error = outcome(opener, data, NOW + round_ * 1_000)
        if error is None:
            assert data in ENVELOPES
        else:
            assert error.offender is None
    assert set(opener.counters.refused) >= {"malformed", "version", "bad-signature", "unknown-sender"}


def test_what_a_faulty_member_signs_is_its_own_fault_or_its_word() -> None:
    rng = random.Random(20_260_102)
    opener = FEDERATION.opener()
    for round_ in range(RESEALED):
        original = rng.choice(ENVELOPES)
        data = reseal(original, ALICE, payload=mutate(parse(original).payload, rng), sequence=round_)
        error = outcome(opener, data, NOW)
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
        envelopes[place] = mutate(envelopes[place], rng)
        if envelopes[place] in ENVELOPES or envelopes[place] in proof.envelopes:
            continue
        changed = msgspec.structs.replace(proof, envelopes=tuple(envelopes))
        message = (
            msgspec.structs.replace(signature, certificate=changed)
            if proof is precommits
            else Proposal(10, 3, HASH, BLOCK, changed)
        )
        error = outcome(opener, force_seal(ALICE, message), NOW)
        assert error is not None
        assert error.reason in ("bad-proof", "unverified-vote")
        assert error.offender == (0 if error.reason == "bad-proof" else None)


def test_a_proof_of_many_votes_is_bounded() -> None:
    vote = ALICE.seal(Precommit(10, 0, HASH))
    for count in (21, 40):
        proof = QuorumProof("precommit", 10, 0, HASH, tuple(range(count)), (vote,) * count)
        message = BlockSignature(10, 0, HASH, b"\x30", proof)
        error = outcome(FEDERATION.opener(), force_seal(ALICE, message), NOW)
        assert error is not None
        assert error.reason in ("bad-proof", "oversize")


def test_a_long_list_of_numbers_in_a_small_kind_is_refused_unread() -> None:
    payload = msgspec.msgpack.encode(msgspec.to_builtins(ALICE.heartbeat()))
    serials = b"\xa7serials\xdd" + struct.pack(">I", 4_000_000) + bytes(4_000_000)
    data = reseal(ENVELOPES[-1], ALICE, payload=payload.replace(b"\xa7serials\x93\x00\x00\x00", serials))
    error = outcome(FEDERATION.opener(), data, NOW)
    assert error is not None
    assert error.reason == "oversize"
