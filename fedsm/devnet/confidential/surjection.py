"""Surjection proofs: the asset of a blinded output is that of one input, and none tells of which."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fedsm.devnet.confidential.curve import compressed, negative, total
from fedsm.devnet.confidential.rings import rings_hold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedsm.devnet.confidential.curve import Point

MOST_USED = 256  # inputs that one proof may choose from


def surjection_holds(proof: bytes, inputs: Sequence[Point], output: Point) -> bool:
    """Whether the proof ties the asset ``output`` to one of the assets that go in."""
    map_size = (len(inputs) + 7) // 8
    chosen = int.from_bytes(proof[2 : 2 + map_size], "little")
    used = chosen.bit_count()
    if int.from_bytes(proof[:2], "little") != len(inputs) or chosen >> len(inputs):
        return False
    if not 0 < used <= MOST_USED or len(proof) != 2 + map_size + 32 * (1 + used):
        return False
    digest = hashlib.sha256(b"".join(compressed(asset) for asset in [*inputs, output]))
    ring = [total(output, negative(asset)) for place, asset in enumerate(inputs) if chosen >> place & 1]
    return rings_hold([ring], digest.digest(), proof[2 + map_size :])
