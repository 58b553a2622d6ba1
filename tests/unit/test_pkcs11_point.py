"""Public points and curves as PKCS#11 modules write them."""

from __future__ import annotations

import pytest
import wallycore as wally
from hypothesis import given
from hypothesis import strategies as st

from signers.pkcs11_point import SECP256K1_OID, compressed_point, curve_name
from signers.software import SoftwareSigner

keys = st.integers(1, 2**250).map(lambda number: SoftwareSigner(number.to_bytes(32, "big")).public_key)
# A point of P-256: its generator.
P256_POINT = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


@given(keys)
def test_a_point_is_read_bare_or_in_der_whole_or_compressed(key: bytes) -> None:
    whole = bytes(wally.ec_public_key_decompress(key))
    for point in (key, whole, b"\x04\x21" + key, b"\x04\x41" + whole):
        assert compressed_point(point) == key


@given(keys, st.integers(0, 64), st.integers(1, 255))
def test_a_point_with_any_byte_changed_is_refused_or_another(key: bytes, position: int, change: int) -> None:
    point = bytearray(wally.ec_public_key_decompress(key))
    point[position] ^= change
    with pytest.raises(ValueError, match=r"^CKA_EC_POINT is no point of secp256k1: "):
        compressed_point(bytes(point))


@pytest.mark.parametrize("point", [b"", b"\x04", P256_POINT, b"\x04\x41" + P256_POINT, bytes(33), bytes(65)])
def test_what_is_no_point_of_the_curve_is_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match="no point of secp256k1"):
        compressed_point(point)


def test_curves_are_named() -> None:
    assert curve_name(SECP256K1_OID) == "secp256k1"
    assert curve_name(bytes.fromhex("06082a8648ce3d030107")) == "P-256"
    assert "0605" in curve_name(bytes.fromhex("06052b81040063"))
