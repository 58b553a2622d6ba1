"""Range proofs: a committed amount lies between two bounds that the proof names (libsecp256k1-zkp's format)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from fedsm.devnet.confidential.curve import (
    COMMITMENT,
    GENERATOR,
    Point,
    is_square,
    lift,
    negative,
    read_point,
    times,
    total,
)
from fedsm.devnet.confidential.rings import rings_hold

LARGEST = 2**64 - 1
SHORTEST = 65
HIGHEST_EXPONENT = 18
RING = 4  # keys of a ring, one a value of two bits


@dataclass(frozen=True)
class ProvenRange:
    """What a range proof's header says: the amount is ``least`` plus ``bits`` bits times a power of ten.

    ``exponent`` is -1, and ``bits`` 0, where the amount is ``least`` exactly. ``size`` is the header's, in bytes.
    """

    exponent: int
    bits: int
    least: int
    most: int
    size: int


def read_range(proof: bytes) -> ProvenRange:
    """The header of a proof; the proof itself is not checked. Raises ValueError."""
    if len(proof) < SHORTEST or proof[0] & 128:
        raise ValueError("not a range proof")
    exponent, bits, place = -1, 0, 1
    if proof[0] & 64:
        exponent, bits, place = proof[0] & 31, proof[1] + 1, 2
    if exponent > HIGHEST_EXPONENT or bits > 64:
        raise ValueError("range proof of no known size")
    most = (2**bits - 1) * 10 ** max(exponent, 0)
    least = 0
    if proof[0] & 32:
        least = int.from_bytes(proof[place : place + 8], "big")
        place += 8
    if most + least > LARGEST:
        raise ValueError("range proof beyond 64 bits")
    return ProvenRange(exponent, bits, least, most + least, place)


@lru_cache(maxsize=512)
def proven_least(proof: bytes, commitment: bytes, generator: bytes, script: bytes) -> int | None:
    """The least amount that the commitment holds by this proof, made for an output to ``script``.

    ``None`` when the proof does not hold. Nodes of one process ask for the same proofs, which take time.
    """
    try:
        proven = read_range(proof)
        return proven.least if _holds(proof, proven, commitment, generator, script) else None
    except ValueError:
        return None


def _holds(proof: bytes, proven: ProvenRange, commitment: bytes, generator: bytes, script: bytes) -> bool:
    amount, asset = read_point(commitment, COMMITMENT), read_point(generator, GENERATOR)
    sizes = [RING] * (proven.bits // 2) + [2] * (proven.bits % 2) or [1]
    sent = len(sizes) - 1  # points of digits in the proof: the last ring's follows from the commitment
    signs_size = (sent + 7) // 8
    points_at = proven.size + signs_size
    seal_at = points_at + 32 * sent
    if len(proof) != seal_at + 32 * (1 + sum(sizes)):
        raise ValueError("range proof of the wrong size")
    signs = int.from_bytes(proof[proven.size : points_at], "little")
    if signs >> sent:
        raise ValueError("range proof with stray signs")
    digest = hashlib.sha256(_written(amount) + _written(asset) + proof[: proven.size])
    heads: list[Point] = []
    for place in range(sent):
        x = proof[points_at + 32 * place : points_at + 32 * place + 32]
        sign = signs >> place & 1
        point = lift(int.from_bytes(x, "big"))
        heads.append(negative(point) if sign else point)
        digest.update(bytes([sign]) + x)
    heads.append(total(amount, negative(total(times(proven.least, asset), *heads))))
    digest.update(script)
    rings = _rings(heads, sizes, times(10 ** max(proven.exponent, 0), negative(asset)))
    return rings_hold(rings, digest.digest(), proof[seal_at:])


def _rings(heads: list[Point], sizes: list[int], step: Point) -> list[list[Point]]:
    """Every ring's keys: one of them is a commitment to zero, whose secret the prover knows."""
    rings = []
    for head, size in zip(heads, sizes, strict=True):
        ring = [head]
        for _ in range(size - 1):
            ring.append(total(ring[-1], step))
        rings.append(ring)
        step = times(RING, step)
    return rings


def _written(point: Point) -> bytes:
    if point is None:
        raise ValueError("infinity has no written form")
    x, y = point
    return bytes([not is_square(y)]) + x.to_bytes(32, "big")
