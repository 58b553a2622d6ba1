"""Strict DER, low-S and message digests, against recorded signatures, textbook cases and made-up damage."""

from __future__ import annotations

from typing import Any

import pytest
import wallycore as wally
from hypothesis import given
from hypothesis import strategies as st

from signers.ecdsa import (
    bitcoin_message_digest,
    compact_to_der,
    der_to_compact,
    normalise_compact,
    verify_compact,
    verify_der,
)
from tests.elements_vectors import blocks

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SECRET = bytes(31) + b"\x07"
PUBLIC_KEY = bytes(wally.ec_public_key_from_private_key(SECRET))
DIGEST = bytes(range(32))
COMPACT = bytes(wally.ec_sig_from_bytes(SECRET, DIGEST, wally.EC_FLAG_ECDSA))
DER = bytes(wally.ec_sig_to_der(COMPACT))
HIGH_S = COMPACT[:32] + (ORDER - int.from_bytes(COMPACT[32:], "big")).to_bytes(32, "big")


def _der(r: bytes, s: bytes) -> bytes:
    body = b"\x02" + bytes([len(r)]) + r + b"\x02" + bytes([len(s)]) + s
    return b"\x30" + bytes([len(body)]) + body


R, S = COMPACT[:32].lstrip(b"\0"), COMPACT[32:].lstrip(b"\0")
R = b"\0" + R if R[0] & 0x80 else R

LOOSE = {
    "padded r": _der(b"\0" + R, S),
    "padded s": _der(R, b"\0" + S),
    "trailing byte": DER + b"\0",
    "sighash byte": DER + b"\x01",
    "one byte short": DER[:-1],
    "long-form length": b"\x30\x81" + DER[1:],
    "wrong tag": b"\x31" + DER[1:],
    "negative r": _der(bytes([R[0] | 0x80]) + R[1:], S),
    "empty s": _der(R, b""),
    "empty": b"",
    "very long": b"\x30" * 300,
}


@pytest.mark.parametrize(("_chain", "block"), blocks())
def test_recorded_signatures_verify_and_survive_both_forms(_chain: dict[str, Any], block: dict[str, Any]) -> None:
    digest = bytes.fromhex(block["digest"])
    for signature in block["signatures"]:
        der, public_key = bytes.fromhex(signature["der"]), bytes.fromhex(signature["pubkey"])
        assert verify_der(public_key, digest, der)
        assert compact_to_der(der_to_compact(der)) == der
        assert not verify_der(public_key, digest[::-1], der)


@pytest.mark.parametrize("der", LOOSE.values(), ids=LOOSE)
def test_der_that_is_not_strict_never_verifies(der: bytes) -> None:
    assert verify_der(PUBLIC_KEY, DIGEST, DER)
    assert not verify_der(PUBLIC_KEY, DIGEST, der)
    with pytest.raises(ValueError, match="DER"):
        der_to_compact(der)


def test_high_s_does_not_verify_and_is_made_low() -> None:
    assert not verify_compact(PUBLIC_KEY, DIGEST, HIGH_S)
    high_der = bytes(wally.ec_sig_to_der(HIGH_S))
    assert not verify_der(PUBLIC_KEY, DIGEST, high_der)
    assert der_to_compact(high_der) == HIGH_S
    assert normalise_compact(HIGH_S) == COMPACT
    assert compact_to_der(HIGH_S) == DER


@pytest.mark.parametrize("compact", [b"", bytes(63), bytes(65), b"\xff" * 64, ORDER.to_bytes(32, "big") * 2])
def test_compact_of_wrong_size_or_range_is_refused(compact: bytes) -> None:
    assert not verify_compact(PUBLIC_KEY, DIGEST, compact)
    with pytest.raises(ValueError, match="64 bytes, r and s below the group order"):
        compact_to_der(compact)


@pytest.mark.parametrize("public_key", [b"", PUBLIC_KEY[:-1], b"\x05" + PUBLIC_KEY[1:], bytes(33)])
def test_a_bad_public_key_verifies_nothing(public_key: bytes) -> None:
    assert not verify_der(public_key, DIGEST, DER)


def test_a_digest_of_wrong_length_verifies_nothing() -> None:
    assert not verify_der(PUBLIC_KEY, DIGEST[:31], DER)


@given(st.binary(max_size=100))
def test_no_bytes_make_the_verifier_raise(der: bytes) -> None:
    assert not verify_der(PUBLIC_KEY, DIGEST, der)


@given(st.integers(0, len(DER) - 1), st.integers(0, 7))
def test_no_flipped_bit_of_a_signature_verifies(index: int, bit: int) -> None:
    damaged = bytearray(DER)
    damaged[index] ^= 1 << bit
    assert not verify_der(PUBLIC_KEY, DIGEST, bytes(damaged))


@given(st.text(min_size=1, max_size=300))
def test_message_digest_is_sha256d_of_length_prefixed_magic_and_text(text: str) -> None:
    body = text.encode("utf-8")
    length = bytes([len(body)]) if len(body) < 253 else b"\xfd" + len(body).to_bytes(2, "little")
    preimage = b"\x18Bitcoin Signed Message:\n" + length + body
    assert bitcoin_message_digest(text) == bytes(wally.sha256d(preimage))


@pytest.mark.parametrize("text", ["", "x" * 65473])
def test_a_message_to_sign_has_bounds(text: str) -> None:
    with pytest.raises(ValueError, match="a message to sign has 1 to 65472 UTF-8 bytes"):
        bitcoin_message_digest(text)
