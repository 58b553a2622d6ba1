"""Reads the lines of one file of a trace and checks that they are all there, unchanged and in order."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from fedsm.errors import FedsmError
from fedsm.trace.files import open_file
from fedsm.trace.lines import MAX_LINE_BYTES, NO_LINE, digest_of


class TraceError(FedsmError):
    """Why a trace cannot be relied on, in one line that names the file and the line."""


class Place(NamedTuple):
    """A line of a file, counted from 1."""

    file: Path
    n: int

    def __str__(self) -> str:
        return f"{self.file} line {self.n}"


class _Link(msgspec.Struct):
    """What ties a line to the one before it, whatever else is in it."""

    prev: str
    n: int


class _Text(NamedTuple):
    """A line as it stands in the file; ``whole`` is False for one without a newline."""

    text: bytes
    whole: bool
    digest: str
    link: _Link | None


class FileLines:
    """The lines of a file, each given out once its neighbours agree that it is what was written.

    When they have been read, ``last`` is the hash of the last complete line, and ``torn`` says whether the file
    ends in the middle of one. TraceError names the first line that was changed, is missing or out of order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first_prev = NO_LINE
        self.last = NO_LINE
        self.torn = False

    def __iter__(self) -> Iterator[tuple[Place, bytes]]:
        texts = self._texts()
        here, coming, after = (next(texts, None) for _ in range(3))
        self.first_prev = self._check_first(here, coming)
        n = 1
        while here is not None:
            if not here.whole:
                self.torn = True
                return
            if here.link is None:
                raise TraceError(f"{self.path} line {n} was changed: it is no line of a trace any more")
            self._check_next(n, here, coming, after)
            self.last = here.digest
            yield Place(self.path, n), here.text
            here, coming, after, n = coming, after, next(texts, None), n + 1

    def _texts(self) -> Iterator[_Text]:
        try:
            with open_file(self.path) as file:
                while line := file.readline(MAX_LINE_BYTES + 1):
                    if len(line) > MAX_LINE_BYTES:
                        raise TraceError(f"{self.path} is not a trace of fedsm: it has a line without end")
                    text = line.removesuffix(b"\n")
                    yield _Text(text, len(text) < len(line), digest_of(text), _link_of(text))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TraceError(f"{self.path} cannot be inflated, it is damaged or cut off: {error}") from None
        except OSError as error:
            raise TraceError(f"{self.path}: {error.strerror}") from None

    def _check_first(self, first: _Text | None, second: _Text | None) -> str:
        """``prev`` of the first line."""
        if first is None:
            raise TraceError(f"{self.path} is empty")
        goes_on = second is not None and second.link is not None and second.link.n == 2
        if first.link is not None and first.link.n == 1:
            return first.link.prev
        if goes_on:
            raise TraceError(f"{self.path} line 1 was changed: it is not the first line of a trace any more")
        if first.link is not None and first.link.n > 1:
            raise TraceError(f"{self.path} does not begin with line 1 but with line {first.link.n}")
        raise TraceError(f"{self.path} is not a trace of fedsm: its first line is none of a trace")

    def _check_next(self, n: int, here: _Text, coming: _Text | None, after: _Text | None) -> None:
        """TraceError if ``coming`` does not follow on ``here``, line ``n``. A torn or garbled line is none yet."""
        if coming is None or not coming.whole or coming.link is None:
            return
        if coming.link.n != n + 1:
            raise TraceError(f"{self.path} {_disorder(n, here, coming.link, after)}")
        if coming.link.prev == here.digest:
            return
        if after is None or not after.whole or after.link is None:
            raise TraceError(f"{self.path} line {n} or line {n + 1} was changed: their hashes do not fit together")
        changed, witness = (n, n + 1) if after.link.prev == coming.digest else (n + 1, n + 2)
        raise TraceError(f"{self.path} line {changed} was changed: line {witness} carries another hash of it")


def _link_of(text: bytes) -> _Link | None:
    try:
        return msgspec.json.decode(text, type=_Link)
    except (ValueError, RecursionError):
        return None


def _disorder(n: int, here: _Text, link: _Link, after: _Text | None) -> str:
    """What is wrong when ``link`` stands after line ``n`` and is not that of line ``n`` + 1."""
    wanted = n + 1
    if link.prev == here.digest:
        return f"line {wanted} was changed: it says that it is line {link.n}"
    if link.n <= n:
        return f"line {link.n} stands there again after line {n}"
    if after is not None and after.link is not None and after.link.n == wanted:
        return f"lines {wanted} and {link.n} are swapped"
    if after is not None and after.link is not None and after.link.n == wanted + 1:
        return f"line {link.n} stands where line {wanted} belongs"
    missing = f"line {wanted} is" if link.n == wanted + 1 else f"lines {wanted} to {link.n - 1} are"
    return f"{missing} missing"
