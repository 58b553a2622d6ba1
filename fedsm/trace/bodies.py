"""Large bytes of a trace: each block body is kept once in a file, and named by its SHA-256 wherever it occurs.

A body occurs in many dresses: bare, inside a proposal's envelope, with signatures put into its header. What
contains another body, or begins and ends like it, is written as pieces of it.
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from fedsm.trace.lines import MAX_BODY_BYTES

# Below this, a line with the bytes in it is shorter than one that names them.
LARGE_BYTES = 1024
# Bodies that are recognised without hashing them again: those of a height and of the one before.
HELD_BODIES = 8
HELD_BYTES = 32 * 1024 * 1024
# How much of the beginning of bytes is looked for in others.
PROBE_BYTES = 64


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands for the body with this SHA-256."""

    body: str


class Pieces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stands for bytes made of literal ones and of ranges (body, from, to) of bodies."""

    pieces: list[bytes | tuple[str, int, int]]


class NewBody(NamedTuple):
    """A body that must be written before the line that names it; ``data`` is deflated."""

    sha256: str
    size: int
    data: bytes


class BodyShelf:
    """The writer's side: which bodies the file at hand has. ``take_new`` gives those still to be written."""

    def __init__(self) -> None:
        self._written: set[str] = set()
        self._held: OrderedDict[bytes, Named | Pieces] = OrderedDict()
        self._held_bytes = 0
        self._new: list[NewBody] = []

    def put(self, data: bytes) -> Named | Pieces:
        """What a line says in place of ``data``."""
        known = self._held.get(data)
        if known is not None:
            self._held.move_to_end(data)
            return known
        name = self._in_pieces(data) or self._by_name(data)
        self._hold(data, name)
        return name

    def take_new(self) -> list[NewBody]:
        """The bodies that came up since the last call."""
        new, self._new = self._new, []
        return new

    def _by_name(self, data: bytes) -> Named:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._written:
            self._written.add(digest)
            self._new.append(NewBody(digest, len(data), zlib.compress(data)))
        return Named(digest)

    def _in_pieces(self, data: bytes) -> Pieces | None:
        """``data`` in terms of one of the bodies at hand, the latest first."""
        for base, name in reversed(self._held.items()):
            pieces = _pieces(data, base, name.body) if isinstance(name, Named) else None
            if pieces is not None:
                return pieces
        return None

    def _hold(self, data: bytes, name: Named | Pieces) -> None:
        self._held[data] = name
        self._held_bytes += len(data)
        while len(self._held) > HELD_BODIES or self._held_bytes > max(HELD_BYTES, len(data)):
            dropped, _ = self._held.popitem(last=False)
            self._held_bytes -= len(dropped)


def place_of(part: bytes, data: bytes) -> int:
    """Where ``part`` stands in ``data``, or -1. Only its first likely place is looked at: both may be megabytes."""
    at = data.find(part[:PROBE_BYTES])
    return at if at >= 0 and data.startswith(part, at) else -1


def _pieces(data: bytes, base: bytes, name: str) -> Pieces | None:
    """``data`` in terms of ``base``, if that is most of it."""
    at = place_of(base, data)
    if at >= 0:
        parts: tuple[bytes | tuple[str, int, int], ...] = (data[:at], (name, 0, len(base)), data[at + len(base) :])
        return Pieces([part for part in parts if part])
    shortest = min(len(data), len(base))
    head = _alike(shortest, lambda count: data[:count] == base[:count])
    tail = _alike(shortest - head, lambda count: data[len(data) - count :] == base[len(base) - count :])
    if head + tail < len(data) * 3 // 4:
        return None
    ends = (name, 0, head), data[head : len(data) - tail], (name, len(base) - tail, len(base))
    return Pieces([part for part in ends if isinstance(part, bytes) or part[1] < part[2]])


def _alike(most: int, are_alike: Callable[[int], bool]) -> int:
    """The largest count up to ``most`` for which ``are_alike`` holds; it holds for all smaller ones then."""
    least = 0
    while least < most:
        middle = (least + most + 1) // 2
        if are_alike(middle):
            least = middle
        else:
            most = middle - 1
    return least


class BodyError(ValueError):
    """What stands for bytes in a line does not lead to any."""


class BodyStore:
    """The reader's side: the bodies of one file, deflated until they are asked for."""

    def __init__(self) -> None:
        self._deflated: dict[str, tuple[int, bytes]] = {}
        self._held: OrderedDict[str, bytes] = OrderedDict()

    def add(self, sha256: str, size: int, data: bytes) -> None:
        """Take a body. BodyError when it is larger than any."""
        if not 0 <= size <= MAX_BODY_BYTES:
            raise BodyError(f"a body of {size} bytes, at most {MAX_BODY_BYTES}")
        self._deflated[sha256] = (size, data)

    def get(self, sha256: str) -> bytes:
        """A body. BodyError when it is not there or does not have this hash."""
        body = self._held.get(sha256)
        if body is None:
            body = self._held[sha256] = self._inflate(sha256)
            if len(self._held) > HELD_BODIES:
                self._held.popitem(last=False)
        return body

    def _inflate(self, sha256: str) -> bytes:
        if sha256 not in self._deflated:
            raise BodyError(f"the body {sha256} is not in this file")
        size, data = self._deflated[sha256]
        try:
            body = zlib.decompressobj().decompress(data, size + 1)
        except zlib.error as error:
            raise BodyError(f"the body {sha256} is damaged: {error}") from None
        if len(body) != size or hashlib.sha256(body).hexdigest() != sha256:
            raise BodyError(f"the body {sha256} is damaged: its content has another hash")
        return body

    def bytes_of(self, content: dict[str, Any]) -> bytes:
        """The bytes that a Named or Pieces, as JSON gives it, stands for. BodyError or ValueError."""
        if "body" in content:
            return self.get(msgspec.convert(content, Named).body)
        return b"".join(self._part(part) for part in msgspec.convert(content["pieces"], list[Any]))

    def _part(self, part: object) -> bytes:
        if isinstance(part, str):
            return binascii.a2b_base64(part, strict_mode=True)
        sha256, start, end = msgspec.convert(part, tuple[str, int, int])
        body = self.get(sha256)
        if not 0 <= start <= end <= len(body):
            raise BodyError(f"bytes {start} to {end} of the body {sha256}, which has {len(body)}")
        return body[start:end]


def stands_for_bytes(content: dict[str, Any]) -> bool:
    """Whether this object stands where bytes belong."""
    return content.keys() == {"body"} or content.keys() == {"pieces"}
