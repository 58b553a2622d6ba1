"""Reading of consensus-encoded bytes: little-endian integers, CompactSize, length-prefixed strings.

Every read is bounded by the input: a length or count is compared with the bytes that are left before anything
is cut out or counted up, so hostile input costs no more than its own size.
"""

from __future__ import annotations

import struct
from typing import NoReturn


class DecodeError(ValueError):
    """Bytes that are no header, block or transaction; the message names the field and its byte offset."""


class Reader:
    """A cursor over ``data``; each method takes the name of the field it reads, for the error message."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self.data = data
        self.offset = offset

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.offset

    def fail(self, field: str, problem: str) -> NoReturn:
        """Raise a DecodeError about the field at the cursor."""
        raise DecodeError(f"{field} at byte {self.offset}: {problem}")

    def take(self, size: int, field: str) -> bytes:
        """The next ``size`` bytes."""
        if size > self.left:
            self.fail(field, f"needs {size} bytes, {self.left} left")
        start, self.offset = self.offset, self.offset + size
        return self.data[start : self.offset]

    def uint32(self, field: str) -> int:
        """A 4-byte little-endian unsigned integer."""
        value: int = struct.unpack("<I", self.take(4, field))[0]
        return value

    def compact_size(self, field: str) -> int:
        """A CompactSize; refused when not in its shortest form, as the node does."""
        start = self.offset
        first = self.take(1, field)[0]
        if first < 0xFD:
            return first
        width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        value = int.from_bytes(self.take(width, field), "little")
        shortest = {2: 0xFD, 4: 0x1_0000, 8: 0x1_0000_0000}[width]
        if value < shortest:
            self.offset = start
            self.fail(field, "length is not in its shortest form")
        return value

    def string(self, field: str) -> bytes:
        """A byte string with its CompactSize length in front."""
        return self.take(self.compact_size(field), field)

    def count(self, field: str, smallest: int = 1) -> int:
        """A CompactSize number of elements, each of which takes at least ``smallest`` bytes."""
        number = self.compact_size(field)
        if number * smallest > self.left:
            self.fail(field, f"{number} elements do not fit in {self.left} bytes")
        return number

    def strings(self, field: str) -> tuple[bytes, ...]:
        """A CompactSize count and that many byte strings (a witness stack, an extension space)."""
        return tuple(self.string(field) for _ in range(self.count(field)))


def write_compact_size(value: int) -> bytes:
    """The shortest CompactSize of ``value``."""
    if value < 0xFD:
        return bytes([value])
    if value < 0x1_0000:
        return b"\xfd" + struct.pack("<H", value)
    if value < 0x1_0000_0000:
        return b"\xfe" + struct.pack("<I", value)
    return b"\xff" + struct.pack("<Q", value)


def write_string(data: bytes) -> bytes:
    """``data`` with its CompactSize length in front."""
    return write_compact_size(len(data)) + data


def write_strings(items: tuple[bytes, ...]) -> bytes:
    """A CompactSize count and each item with its length in front."""
    return write_compact_size(len(items)) + b"".join(write_string(item) for item in items)
