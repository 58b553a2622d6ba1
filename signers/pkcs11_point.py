"""What a token says of an EC key: its curve and its public point, as bytes."""

from __future__ import annotations

import wallycore as wally

SECP256K1_OID = bytes.fromhex("06052b8104000a")
_OTHER_CURVES = {
    "06082a8648ce3d030107": "P-256",
    "06052b81040022": "P-384",
    "06052b81040023": "P-521",
    "06092b2403030208010107": "brainpoolP256r1",
    "06092b06010401da470f01": "Ed25519",
}
_OCTET_STRING = 0x04


def curve_name(parameters: bytes) -> str:
    """The name of the curve in CKA_EC_PARAMS (a DER object identifier; explicit parameters have no name)."""
    if parameters == SECP256K1_OID:
        return "secp256k1"
    return _OTHER_CURVES.get(parameters.hex(), f"an unknown one ({parameters.hex()[:64]})")


def compressed_point(point: bytes) -> bytes:
    """The 33-byte public key in CKA_EC_POINT.

    PKCS #11 asks for a DER octet string around the point; modules give the bare point too, and either compressed.
    ValueError if it is no point of secp256k1.
    """
    # A bare point has 33 or 65 bytes, so that none can be taken for an octet string of that much.
    if len(point) in (35, 67) and point[0] == _OCTET_STRING and point[1] == len(point) - 2:
        point = point[2:]
    try:
        if len(point) == wally.EC_PUBLIC_KEY_LEN:
            wally.ec_public_key_verify(point)
            return point
        compressed = bytes([2 + (point[-1] & 1)]) + point[1:33] if point else b""
        if bytes(wally.ec_public_key_decompress(compressed)) != point:
            raise ValueError
    except ValueError:
        raise ValueError(f"CKA_EC_POINT is no point of secp256k1: {point.hex()[:140]}") from None
    return compressed
