"""The verifying half of confidential transactions against what libwally proves, honest and damaged."""

from __future__ import annotations

import random

import pytest
import wallycore as wally

from fedsm.devnet.confidential.curve import (
    BASE,
    COMMITMENT,
    GENERATOR,
    ORDER,
    combination,
    compressed,
    lift,
    negative,
    read_point,
    times,
    total,
)
from fedsm.devnet.confidential.rangeproof import ProvenRange, proven_least, read_range
from fedsm.devnet.confidential.surjection import surjection_holds

CHOICE = random.Random(7)
SCRIPT = b"\x51"
ASSET, ASSET_BLINDER, BLINDER, NONCE = (CHOICE.randbytes(32) for _ in range(4))
ASSET_GENERATOR = bytes(wally.asset_generator_from_bytes(ASSET, ASSET_BLINDER))


def committed(amount: int) -> bytes:
    return bytes(wally.asset_value_commitment(amount, BLINDER, ASSET_GENERATOR))


def proven(amount: int, least: int, exponent: int, bits: int) -> bytes:
    secrets = (ASSET, ASSET_BLINDER, BLINDER, committed(amount), SCRIPT, ASSET_GENERATOR)
    return bytes(wally.asset_rangeproof_with_nonce(amount, NONCE, *secrets, least, exponent, bits))


def test_points_add_up_as_in_libwally() -> None:
    for _ in range(8):
        factor = CHOICE.randrange(1, ORDER)
        secret = factor.to_bytes(32, "big")
        assert compressed(times(factor, BASE)) == bytes(wally.ec_public_key_from_private_key(secret))
    plain = read_point(bytes(wally.asset_generator_from_bytes(ASSET, bytes(32))), GENERATOR)
    blinded = read_point(ASSET_GENERATOR, GENERATOR)
    assert total(plain, times(int.from_bytes(ASSET_BLINDER, "big"), BASE)) == blinded
    commitment = combination((5000, blinded), (int.from_bytes(BLINDER, "big"), BASE))
    assert commitment == read_point(committed(5000), COMMITMENT)


def test_points_have_a_zero_and_negatives() -> None:
    assert total(BASE, negative(BASE)) is None
    assert total(BASE, None, BASE) == times(2, BASE)
    assert times(ORDER, BASE) is times(0, BASE) is times(3, None) is None


@pytest.mark.parametrize("data", [b"", b"\x0b" + bytes(31), b"\x08" + bytes(32), b"\x0a" + b"\xff" * 32])
def test_what_is_no_point_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a point"):
        read_point(data, GENERATOR)


def test_a_coordinate_without_a_point_is_refused() -> None:
    with pytest.raises(ValueError, match="not a point of the curve"):
        lift(5)


@pytest.mark.parametrize(
    ("amount", "least", "exponent", "bits", "header"),
    [
        (3, 1, 0, 4, ProvenRange(0, 4, 1, 16, 10)),
        (12_345, 0, 0, 15, ProvenRange(0, 15, 0, 32_767, 2)),
        (700_000, 0, 2, 3, ProvenRange(2, 13, 0, 819_100, 2)),
        (1 << 33, 1, 0, 36, ProvenRange(0, 36, 1, 1 << 36, 10)),
    ],
)
def test_range_proofs_of_every_form_hold(
    amount: int, least: int, exponent: int, bits: int, header: ProvenRange
) -> None:
    proof = proven(amount, least, exponent, bits)
    assert read_range(proof) == header
    assert proven_least(proof, committed(amount), ASSET_GENERATOR, SCRIPT) == least


def test_a_proof_of_the_exact_amount_holds() -> None:
    proof = bytes(wally.explicit_rangeproof(900, NONCE, BLINDER, committed(900), ASSET_GENERATOR))
    assert read_range(proof) == ProvenRange(-1, 0, 900, 900, 9)
    assert proven_least(proof, committed(900), ASSET_GENERATOR, b"") == 900


def test_a_range_proof_holds_for_its_own_output_only() -> None:
    proof, other = proven(3, 1, 0, 4), bytes(wally.asset_generator_from_bytes(ASSET, BLINDER))
    assert proven_least(proof, committed(4), ASSET_GENERATOR, SCRIPT) is None
    assert proven_least(proof, committed(3), other, SCRIPT) is None
    assert proven_least(proof, committed(3), ASSET_GENERATOR, b"\x52") is None


def test_a_damaged_range_proof_does_not_hold() -> None:
    proof = proven(3, 1, 0, 4)
    damaged = [proof[:-1], proof + b"\x00", b"", bytes(64), b"\xff" * len(proof), proof[:10]]
    for place in range(0, len(proof), 23):
        spoilt = bytearray(proof)
        spoilt[place] ^= 1 << CHOICE.randrange(8)
        damaged.append(bytes(spoilt))
    assert all(proven_least(each, committed(3), ASSET_GENERATOR, SCRIPT) is None for each in damaged)


def test_surjection_proofs_hold_for_their_inputs_only() -> None:
    blinders = [CHOICE.randbytes(32) for _ in range(10)]
    assets = [ASSET if place == 6 else CHOICE.randbytes(32) for place in range(10)]
    generators = [bytes(wally.asset_generator_from_bytes(*pair)) for pair in zip(assets, blinders, strict=True)]
    proof = bytes(
        wally.asset_surjectionproof(
            ASSET,
            ASSET_BLINDER,
            ASSET_GENERATOR,
            NONCE,
            *(b"".join(each) for each in (assets, blinders, generators)),
        )
    )
    inputs, output = [read_point(each, GENERATOR) for each in generators], read_point(ASSET_GENERATOR, GENERATOR)
    assert surjection_holds(proof, inputs, output)
    assert not surjection_holds(proof, inputs[:-1], output)
    assert not surjection_holds(proof, [*inputs[1:], inputs[0]], output)
    assert not surjection_holds(proof, inputs, inputs[0])
    for place in range(0, len(proof), 5):
        spoilt = bytearray(proof)
        spoilt[place] ^= 1 << CHOICE.randrange(8)
        assert not surjection_holds(bytes(spoilt), inputs, output), place
    assert not surjection_holds(b"", inputs, output)
