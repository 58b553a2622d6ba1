"""Changes valid inputs in the ways that hurt decoders."""

from __future__ import annotations

import random
from collections.abc import Sequence

# Lengths beyond anything that follows, in msgpack, CompactSize and Kafka's forms, and openings of endless nesting.
BOMBS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xdc\xff\xff",
    b"\x91" * 2_000,
    b"\x81\xa1a" * 1_000,
    b"\xfe\xff\xff\xff\xff",
    b"\xff" * 9,
    b"\x7f\xff\xff\xff",
    b"\x00" * 9,
)


def mutate(data: bytes, corpus: Sequence[bytes], rng: random.Random) -> bytes:
    """One to three flips, cuts, additions or splices with other inputs of the corpus."""
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
                other = rng.choice(corpus)
                start = rng.randrange(len(other))
                changed[at : at + rng.randrange(80)] = other[start : start + rng.randrange(80)]
    return bytes(changed)
