"""A stand-in for signed envelopes and block signatures: who says what, believed because the simulator wrote it."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from states.messages import Message


class Wire(msgspec.Struct, frozen=True):
    """An envelope. ``copy`` tells apart those sealed at different times; ``forger`` sealed it in another's name."""

    sender: int
    message: Message
    copy: int = 0
    forger: int | None = None


def seal(sender: int, message: Message, copy: int = 0, forger: int | None = None) -> bytes:
    """The bytes that travel."""
    return msgspec.msgpack.encode(Wire(sender, message, copy, forger))


@lru_cache(maxsize=2048)
def unseal(envelope: bytes) -> Wire:
    """What is in an envelope that ``seal`` made."""
    return msgspec.msgpack.decode(envelope, type=Wire)


def is_word_of(member: int, block_hash: str, signature: bytes) -> bool:
    """Whether it is the member's signature for the block."""
    return signature == signature_word(member, block_hash)


def signature_word(member: int, block_hash: str) -> bytes:
    """The one valid signature of a member for a block (64 hex, display order)."""
    return f"{member}:{block_hash}".encode()
