"""Borromean ring signatures: in every ring of keys the signer knew the secret of one, and none tells of which."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fedsm.devnet.confidential.curve import BASE, ORDER, combination, compressed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.devnet.confidential.curve import Point


def rings_hold(rings: Sequence[Sequence[Point]], message: bytes, signature: bytes) -> bool:
    """Whether the signature (the first challenge, then a scalar for each key, 32 bytes each) signs ``message``."""
    first, rest = signature[:32], signature[32:]
    closing = hashlib.sha256()
    for number, ring in enumerate(rings):
        tie = first
        for place, key in enumerate(ring):
            challenge = int.from_bytes(_challenge(tie, message, number, place), "big")
            scalar, rest = int.from_bytes(rest[:32], "big"), rest[32:]
            if key is None or not 0 < challenge < ORDER or not 0 < scalar < ORDER:
                return False
            point = combination((scalar, BASE), (challenge, key))
            if point is None:
                return False
            tie = compressed(point)
        closing.update(tie)
    closing.update(message)
    return closing.digest() == first


def _challenge(tie: bytes, message: bytes, ring: int, place: int) -> bytes:
    return hashlib.sha256(tie + message + ring.to_bytes(4, "big") + place.to_bytes(4, "big")).digest()
