"""The opener: who is believed, for how long, and who is to blame for what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from states.messages import Precommit, Prevote, Proposal, QuorumProof, ReissueDraft
from tests.members import (
    BLOCK,
    CHAIN,
    HASH,
    NOW,
    Federation,
    Member,
    force_seal,
    reason_of,
    refused,
    reseal,
)
from transports.envelope import Envelope, Sealer, parse, signed_by
from transports.limits import MAX_VOTE_BYTES
from transports.opener import Opened
from transports.refusals import EnvelopeError

FEDERATION = Federation()
ALICE, BOB, CAROL = FEDERATION.members


# Who may speak


def test_the_signature_covers_every_field() -> None:
    data = ALICE.seal(Prevote(10, 0, HASH))
    envelope = parse(data)
    other = msgspec.msgpack.encode(Prevote(10, 0, None))
    for change in ({"sequence": 5}, {"payload": other}, {"sender": 1}, {"height": 11}, {"signature": bytes(64)}):
        error = refused(FEDERATION.opener(), msgspec.msgpack.encode(msgspec.structs.replace(envelope, **change)))
        assert error.reason == "bad-signature"
        assert error.sender == change.get("sender", 0)
        assert error.offender is None


def test_other_chains_epochs_and_strangers_are_refused() -> None:
    opener = FEDERATION.opener()
    assert reason_of(opener, Member(0, chain=bytes(32)).seal(Prevote(10, 0, HASH))) == "wrong-chain"
    assert reason_of(opener, Member(0, epoch=1).seal(Prevote(10, 0, HASH))) == "wrong-epoch"
    assert reason_of(opener, Member(3).seal(Prevote(10, 0, HASH))) == "unknown-sender"


def test_an_envelope_refused_for_lack_of_identity_opens_when_it_comes_again() -> None:
    opener = FEDERATION.opener(acquainted=False)
    vote = ALICE.seal(Prevote(10, 0, HASH))
    assert reason_of(opener, vote) == "no-identity"
    assert opener.open(ALICE.seal(ALICE.heartbeat()), NOW).sender == 0
    assert opener.open(vote, NOW).message == Prevote(10, 0, HASH)
    assert opener.identities.serials == (1, 0, 0)


def test_an_echo_is_dropped_but_what_is_sent_again_later_is_heard() -> None:
    opener = FEDERATION.opener(repeat_ms=100)
    vote = ALICE.seal(Prevote(10, 0, HASH))
    opener.open(vote, NOW)
    with pytest.raises(EnvelopeError) as caught:
        opener.open(vote, NOW + 99)
    assert (caught.value.reason, caught.value.sender, caught.value.offender) == ("duplicate", 0, None)
    assert opener.open(vote, NOW + 100).message == Prevote(10, 0, HASH)
    with pytest.raises(EnvelopeError, match="duplicate"):
        opener.open(vote, NOW + 199)
    assert opener.open(vote, NOW - 1).sender == 0  # the clock was set back
    assert opener.open(ALICE.seal(Prevote(10, 0, HASH)), NOW).sender == 0  # sealed again: another sequence


@pytest.mark.parametrize("name", FEDERATION.one_of_each())
def test_what_is_sent_again_is_not_verified_twice_except_heartbeats(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = FEDERATION.opener()
    data = ALICE.seal(FEDERATION.one_of_each()[name])
    first = opener.open(data, NOW)
    monkeypatch.setattr("transports.opener.signed_by", lambda *_: pytest.fail("verified again"))
    if name == "heartbeat":
        monkeypatch.undo()
        with pytest.raises(EnvelopeError, match="replayed"):
            opener.open(data, NOW + 1000)
    else:
        assert opener.open(data, NOW + 1000) == first


def test_refused_bytes_are_not_remembered_as_seen() -> None:
    opener = FEDERATION.opener()
    vote = bytearray(ALICE.seal(Prevote(10, 0, HASH)))
    vote[-1] ^= 1
    assert [reason_of(opener, bytes(vote)) for _ in range(2)] == ["bad-signature"] * 2


def test_the_floor_refuses_old_heights_but_no_heartbeats_or_reissuances() -> None:
    opener = FEDERATION.opener()
    opener.floor = 11
    assert reason_of(opener, ALICE.seal(Prevote(10, 0, HASH))) == "stale-height"
    assert opener.open(ALICE.seal(Prevote(11, 0, HASH)), NOW).sender == 0
    assert opener.open(ALICE.seal(ALICE.heartbeat()), NOW).sender == 0
    assert opener.open(ALICE.seal(ReissueDraft(10, 0, HASH, HASH, b"draft")), NOW).sender == 0


# Heartbeats and identities


def test_a_heartbeat_needs_a_certificate_by_its_senders_signing_key() -> None:
    opener = FEDERATION.opener(acquainted=False)
    impostor = Member(1)
    forged = msgspec.structs.replace(impostor.certificate(), member=0)
    data = Sealer(CHAIN, 0, 0, impostor.identity.secret, 1).seal(ALICE.heartbeat(certificate=forged))
    error = refused(opener, data)
    assert (error.reason, error.sender, error.offender) == ("bad-certificate", 0, None)
    assert opener.identities.key_of(0) is None


def test_a_certificate_of_another_chain_is_refused() -> None:
    foreign = Member(0, chain=bytes(32)).certificate()
    assert (
        reason_of(FEDERATION.opener(acquainted=False), ALICE.seal(ALICE.heartbeat(certificate=foreign)))
        == "bad-certificate"
    )


def test_nobody_can_send_a_heartbeat_with_a_borrowed_certificate() -> None:
    opener = FEDERATION.opener(acquainted=False)
    borrowed = BOB.heartbeat(certificate=ALICE.certificate())
    assert reason_of(opener, BOB.seal(borrowed)) == "mismatch"
    as_alice = Sealer(CHAIN, 0, 0, BOB.identity.secret, 1).seal(ALICE.heartbeat())
    assert reason_of(opener, as_alice) == "bad-signature"
    assert opener.identities.serials == (0, 0, 0)


def test_the_highest_serial_wins_and_older_keys_are_out() -> None:
    opener = FEDERATION.opener()
    renewed = Member(0, generation=2)
    assert opener.open(renewed.seal(renewed.heartbeat()), NOW).sender == 0
    assert opener.identities.serials == (2, 1, 1)
    assert opener.open(renewed.seal(Prevote(10, 0, HASH)), NOW).sender == 0
    assert reason_of(opener, ALICE.seal(Prevote(10, 0, HASH))) == "bad-signature"
    assert reason_of(opener, ALICE.seal(ALICE.heartbeat())) == "other-identity"


def test_of_two_keys_with_one_serial_the_first_stays() -> None:
    opener = FEDERATION.opener()
    second = Member(0, generation=2)
    certificate = msgspec.structs.replace(second.certificate(), serial=1)
    assert reason_of(opener, second.seal(second.heartbeat(certificate=certificate))) == "other-identity"


def test_an_old_heartbeat_is_not_believed_again() -> None:
    opener = FEDERATION.opener()
    first, second = (ALICE.seal(ALICE.heartbeat(height=height)) for height in (10, 11))
    opener.open(second, NOW)
    error = refused(opener, first)
    assert (error.reason, error.sender, error.offender) == ("replayed", 0, None)


def test_a_new_identity_starts_its_sequence_anew() -> None:
    opener = FEDERATION.opener()
    opener.open(Sealer(CHAIN, 0, 0, ALICE.identity.secret, 1000).seal(ALICE.heartbeat()), NOW)
    renewed = Member(0, generation=2)
    assert opener.open(renewed.seal(renewed.heartbeat()), NOW).envelope.sequence == 1


def test_a_heartbeat_speaks_of_every_member() -> None:
    error = refused(FEDERATION.opener(), ALICE.seal(ALICE.heartbeat(members=2)))
    assert (error.reason, error.offender) == ("bad-payload", 0)


def test_a_pinned_identity_needs_no_certificate_and_takes_no_other() -> None:
    pins = {0: ALICE.identity.public_key}
    opener = FEDERATION.opener(acquainted=False, pinned=pins)
    assert opener.open(ALICE.seal(Prevote(10, 0, HASH)), NOW).sender == 0
    unsigned = msgspec.structs.replace(ALICE.certificate(), signature=bytes(64))
    assert opener.open(ALICE.seal(ALICE.heartbeat(certificate=unsigned)), NOW).sender == 0
    assert opener.identities.serials == (1, 0, 0)
    renewed = Member(0, generation=2)
    assert reason_of(opener, renewed.seal(renewed.heartbeat())) == "other-identity"


# Proposals, proofs and signatures


@pytest.mark.parametrize("block", [BLOCK[:79], b"\x01" + BLOCK[1:]])
def test_a_proposal_must_name_the_hash_of_its_block(block: bytes) -> None:
    error = refused(FEDERATION.opener(), ALICE.seal(Proposal(10, 0, HASH, block)))
    assert (error.reason, error.offender) == ("bad-payload", 0)


def changed(proof: QuorumProof, **changes: Any) -> QuorumProof:
    return msgspec.structs.replace(proof, **changes)


def bad_proofs() -> dict[str, QuorumProof]:
    proof = FEDERATION.proof("precommit", (0, 1))
    other_hash = FEDERATION.proof("precommit", (0, 1), block_hash="11" * 32)
    nil = BOB.seal(Precommit(10, 0, None))
    return {
        "too few": FEDERATION.proof("precommit", (0,)),
        "none": FEDERATION.proof("precommit", ()),
        "repeated voter": changed(proof, voters=(0, 0), envelopes=(proof.envelopes[0],) * 2),
        "one envelope twice": changed(proof, envelopes=(proof.envelopes[0],) * 2),
        "voters swapped": changed(proof, voters=(1, 0)),
        "no such voter": changed(proof, voters=(0, 7)),
        "negative voter": changed(proof, voters=(0, -1)),
        "fewer envelopes": changed(proof, envelopes=proof.envelopes[:1]),
        "prevotes": changed(FEDERATION.proof("prevote"), vote="precommit"),
        "other round": changed(FEDERATION.proof("precommit", round=1), round=0),
        "other height": changed(FEDERATION.proof("precommit", height=9), height=10),
        "other block": changed(other_hash, block_hash=HASH),
        "nil vote": changed(proof, envelopes=(proof.envelopes[0], nil)),
        "no vote": changed(proof, envelopes=(proof.envelopes[0], BOB.seal(BOB.heartbeat()))),
        "garbage": changed(proof, envelopes=(proof.envelopes[0], b"garbage")),
        "other chain": changed(
            proof, envelopes=(proof.envelopes[0], Member(1, chain=bytes(32)).seal(Precommit(10, 0, HASH)))
        ),
        "other epoch": changed(
            proof, envelopes=(proof.envelopes[0], Member(1, epoch=1).seal(Precommit(10, 0, HASH)))
        ),
        "is a lock": FEDERATION.proof("prevote"),
        "speaks of another block": other_hash,
        "speaks of another height": FEDERATION.proof("precommit", height=9),
        "speaks of another round": FEDERATION.proof("precommit", round=2),
    }


@pytest.mark.parametrize("name", bad_proofs())
@pytest.mark.parametrize("votes_seen", [False, True])
def test_a_certificate_that_proves_nothing_convicts_its_sender(name: str, votes_seen: bool) -> None:
    opener = FEDERATION.opener()
    proof = bad_proofs()[name]
    for data in proof.envelopes if votes_seen else ():
        try:
            opener.open(data, NOW)
        except EnvelopeError:
            continue
    honest = CAROL.block_signature(FEDERATION.proof("precommit"))
    error = refused(opener, force_seal(CAROL, msgspec.structs.replace(honest, certificate=proof)))
    assert (error.reason, error.sender, error.offender) == ("bad-proof", 2, 2)


def test_a_lock_proof_needs_a_quorum_of_verified_prevotes() -> None:
    few = FEDERATION.proof("prevote", (1,), round=1)
    error = refused(FEDERATION.opener(), ALICE.seal(Proposal(10, 3, HASH, BLOCK, few)))
    assert (error.reason, error.offender) == ("bad-proof", 0)


def test_a_vote_in_a_proof_is_small() -> None:
    proof = FEDERATION.proof("precommit")
    payload = msgspec.to_builtins(Precommit(10, 0, HASH)) | {"padding": "x" * MAX_VOTE_BYTES}
    fat = reseal(proof.envelopes[1], BOB, payload=msgspec.msgpack.encode(payload))
    assert FEDERATION.opener().open(fat, NOW).message == Precommit(10, 0, HASH)
    data = CAROL.seal(CAROL.block_signature(changed(proof, envelopes=(proof.envelopes[0], fat))))
    assert reason_of(FEDERATION.opener(), data) == "bad-proof"


@pytest.mark.parametrize("round_of_lock", [3, 4])
def test_a_lock_proof_must_be_older_than_its_proposal(round_of_lock: int) -> None:
    proof = FEDERATION.proof("prevote", round=round_of_lock)
    error = refused(FEDERATION.opener(), force_seal(ALICE, Proposal(10, 3, HASH, BLOCK, proof)))
    assert (error.reason, error.offender) == ("bad-proof", 0)


def test_a_proof_with_an_unknown_voter_waits_for_its_identity_and_blames_nobody() -> None:
    opener = FEDERATION.opener(acquainted=False)
    for member in (ALICE, CAROL):
        opener.identities.learn(member.certificate())
    data = CAROL.seal(CAROL.block_signature(FEDERATION.proof("precommit", (0, 1))))
    error = refused(opener, data)
    assert (error.reason, error.sender, error.offender) == ("no-identity", 2, None)
    opener.identities.learn(BOB.certificate())
    assert opener.open(data, NOW).sender == 2


def test_a_vote_under_an_identity_not_known_here_blames_nobody() -> None:
    renewed = Member(1, generation=2)
    proof = FEDERATION.proof("precommit", (0, 1))
    proof = changed(proof, envelopes=(proof.envelopes[0], renewed.seal(Precommit(10, 0, HASH))))
    data = CAROL.seal(CAROL.block_signature(proof))
    opener = FEDERATION.opener()
    error = refused(opener, data)
    assert (error.reason, error.sender, error.offender) == ("unverified-vote", 2, None)
    opener.open(renewed.seal(renewed.heartbeat()), NOW)
    assert opener.open(data, NOW).sender == 2


def test_a_forged_vote_of_a_pinned_identity_convicts_the_sender_of_the_proof() -> None:
    forged = Sealer(CHAIN, 0, 1, CAROL.identity.secret, 1).seal(Precommit(10, 0, HASH))
    proof = FEDERATION.proof("precommit", (0, 1))
    proof = changed(proof, envelopes=(proof.envelopes[0], forged))
    opener = FEDERATION.opener(pinned={1: BOB.identity.public_key})
    error = refused(opener, CAROL.seal(CAROL.block_signature(proof)))
    assert (error.reason, error.offender) == ("bad-proof", 2)


@pytest.mark.parametrize("votes_first", [True, False])
def test_each_vote_is_verified_once_whether_it_comes_alone_or_in_a_proof(
    votes_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = FEDERATION.opener()
    verified: list[str] = []

    def counting(data: bytes, envelope: Envelope, key: bytes) -> bool:
        verified.append(f"{envelope.kind} of {envelope.sender}")
        return signed_by(data, envelope, key)

    monkeypatch.setattr("transports.opener.signed_by", counting)
    proof = FEDERATION.proof("precommit", (0, 1))
    envelopes = [*proof.envelopes, CAROL.seal(CAROL.block_signature(proof)), BOB.seal(BOB.block_signature(proof))]
    for data in envelopes if votes_first else reversed(envelopes):
        opener.open(data, NOW)
    assert sorted(verified) == ["precommit of 0", "precommit of 1", "signature of 1", "signature of 2"]


def test_a_bad_block_signature_names_its_sender() -> None:
    proof = FEDERATION.proof("precommit")
    stolen = ALICE.block_signature(proof).signature
    for signature in (stolen, b"\x30", bytes(72)):
        error = refused(FEDERATION.opener(), CAROL.seal(CAROL.block_signature(proof, signature=signature)))
        assert (error.reason, error.sender, error.offender) == ("bad-block-signature", 2, 2)


# Counting


def test_refusals_are_counted_by_reason_and_proven_offender() -> None:
    opener = FEDERATION.opener()
    vote = ALICE.seal(Prevote(10, 0, HASH))
    opener.open(vote, NOW)
    for data in (vote, vote, b"junk", BOB.seal(Proposal(10, 0, HASH, BLOCK[:79]))):
        refused(opener, data)
    assert opener.counters.opened == {0: 1}
    assert opener.counters.refused == {"duplicate": 2, "malformed": 1, "bad-payload": 1}
    assert opener.counters.offences == {(1, "bad-payload"): 1}


def test_a_federation_has_a_possible_quorum() -> None:
    for size, quorum in ((3, 0), (3, 4), (21, 11)):
        with pytest.raises(ValueError, match="no federation"):
            Federation(size, quorum).opener(acquainted=False)


def test_what_was_seen_is_forgotten_in_order_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.opener.SEEN_LIMIT", 2)
    opener = FEDERATION.opener()
    first, second, third = (ALICE.seal(Prevote(10, 0, None)) for _ in range(3))
    opener.open(first, NOW)
    opener.open(second, NOW)
    assert reason_of(opener, first) == "duplicate"
    opener.open(third, NOW)
    assert reason_of(opener, first) == "duplicate"
    assert isinstance(opener.open(second, NOW), Opened)
