"""ECDSA over secp256k1 as the chain wants it: strict DER (BIP 66), low-S (BIP 146), and nothing looser.

A *digest* is the 32 bytes that are signed (for a block: its hash in internal byte order). A *compact* signature
is r then s, 32 bytes each, big endian. DER signatures here never carry a sighash byte.
"""

from __future__ import annotations

import hashlib

import wallycore as wally

COMPACT_LENGTH = 64
DIGEST_LENGTH = 32


def verify_compact(public_key: bytes, digest: bytes, compact: bytes) -> bool:
    """Whether a compact signature is low-S and valid for this 33-byte public key and digest; never raises."""
    try:
        if bytes(wally.ec_sig_normalize(compact)) != compact:
            return False
        wally.ec_sig_verify(public_key, digest, wally.EC_FLAG_ECDSA, compact)
    except ValueError:
        return False
    return True


def verify_der(public_key: bytes, digest: bytes, der: bytes) -> bool:
    """Whether a DER signature is strict, low-S and valid for this 33-byte public key and digest; never raises."""
    try:
        compact = der_to_compact(der)
    except ValueError:
        return False
    return verify_compact(public_key, digest, compact)


def der_to_compact(der: bytes) -> bytes:
    """The compact form of a strict DER signature; S is left as it is. ValueError if the DER is not strict."""
    try:
        compact = bytes(wally.ec_sig_from_der(der))
        # Parsers forgive some forms that nodes refuse; only the one canonical encoding comes back unchanged.
        canonical = bytes(wally.ec_sig_to_der(compact))
    except ValueError:
        raise ValueError("not a DER signature") from None
    if canonical != der:
        raise ValueError("the signature is not in strict DER form")
    return compact


def compact_to_der(compact: bytes) -> bytes:
    """Strict DER of a compact signature, made low-S (for s and n-s sign alike). ValueError if out of range."""
    try:
        return bytes(wally.ec_sig_to_der(wally.ec_sig_normalize(compact)))
    except ValueError:
        raise ValueError("a compact signature is 64 bytes, r and s below the group order") from None


def normalise_compact(compact: bytes) -> bytes:
    """The low-S form of a compact signature. ValueError if it is not 64 bytes with r and s in range."""
    return der_to_compact(compact_to_der(compact))


def bitcoin_message(text: str) -> bytes:
    """What the RPC ``signmessage`` hashes twice: the "Bitcoin Signed Message" magic and the text with its length.

    ValueError for an empty text or one of more than 65472 UTF-8 bytes.
    """
    try:
        return bytes(wally.format_bitcoin_message(text.encode(), 0))
    except ValueError:
        raise ValueError(f"a message to sign has 1 to {wally.BITCOIN_MESSAGE_MAX_LEN} UTF-8 bytes") from None


def bitcoin_message_digest(text: str) -> bytes:
    """The digest that the RPC ``signmessage`` signs. ValueError as ``bitcoin_message``."""
    return bytes(wally.sha256d(bitcoin_message(text)))


def inner_hash(digest: bytes, source: bytes) -> bytes:
    """The first of the two SHA-256 behind ``digest``, for signers that hash what they are given once themselves.

    ``source`` begins with the bytes that were hashed: what is signed of a block is always its beginning, up to a
    length that differs from chain to chain. ValueError if no beginning of it gives the digest.
    """
    state = hashlib.sha256()
    for position in range(len(source) + 1):
        inner = state.digest()
        if hashlib.sha256(inner).digest() == digest:
            return inner
        state.update(source[position : position + 1])
    raise ValueError(f"the digest {digest.hex()} is of no beginning of these {len(source)} bytes")
