"""The files of a trace: their names and order, and what a folder of them may take."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from pathlib import Path
from typing import IO, cast

PLAIN, PACKED, UNFINISHED = ".jsonl", ".jsonl.gz", ".part"
_NAME = re.compile(r"trace-(\d{6,})\.jsonl(\.gz)?")
_CHUNK_BYTES = 64 * 1024
# However small they are: a folder of very many files is a burden of its own.
MAX_FILES = 4096


def file_name(number: int) -> str:
    """The name of a file that is not compressed yet."""
    return f"trace-{number:06}{PLAIN}"


def number_of(path: Path) -> int | None:
    """The number in a file's name, None for a file that is no part of a trace."""
    match = _NAME.fullmatch(path.name)
    return None if match is None else int(match[1])


def files_in(directory: Path) -> dict[int, Path]:
    """The files of a trace by number, in order. Of a file that stands there in both forms, the plain one."""
    found: dict[int, Path] = {}
    for path in sorted(directory.iterdir(), reverse=True):  # the plain form comes after the compressed one
        number = number_of(path)
        if number is not None:
            found[number] = path
    return dict(sorted(found.items()))


def open_file(path: Path) -> IO[bytes]:
    """A file of a trace, inflated if it is compressed (or has been compressed since its name was read)."""
    packed = path.with_suffix(PACKED)
    if path.suffix == PLAIN and packed.exists() and not path.exists():
        path = packed
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def last_line(path: Path) -> bytes | None:
    """The last complete line of a file, None if there is none."""
    with open_file(path) as file:
        size, reach = file.seek(0, os.SEEK_END), _CHUNK_BYTES
        while True:
            start = max(0, size - reach)
            file.seek(start)
            *lines, _after_last_newline = file.read().split(b"\n")
            if len(lines) > 1 or start == 0:
                return lines[-1] if lines else None
            reach *= 4


def tidy(directory: Path, current: int, total_bytes: int) -> None:
    """Compress the files before ``current``, then remove the oldest until the rest takes ``total_bytes``.

    OSError when the disk does not take it; whatever was not done is done next time.
    """
    for leftover in directory.glob(f"trace-*{UNFINISHED}"):
        leftover.unlink()
    try:
        for number, path in files_in(directory).items():
            if number < current and path.suffix == PLAIN:
                _compress(path)
    finally:  # also because that makes room
        _remove_oldest(directory, current, total_bytes)


def _remove_oldest(directory: Path, current: int, total_bytes: int) -> None:
    older = [path for number, path in files_in(directory).items() if number < current]
    sizes = [path.stat().st_size for path in older]
    for position, path in enumerate(older):
        if sum(sizes[position:]) <= total_bytes and len(older) - position < MAX_FILES:
            break
        path.unlink()


def _compress(path: Path) -> None:
    unfinished, packed = path.with_suffix(UNFINISHED), path.with_suffix(PACKED)
    with path.open("rb") as plain, unfinished.open("wb") as raw:
        unfinished.chmod(0o600)
        # No name and no time in it: the same lines make the same file.
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as deflating:
            shutil.copyfileobj(plain, deflating, _CHUNK_BYTES)
        raw.flush()
        os.fsync(raw.fileno())
    unfinished.replace(packed)
    path.unlink()
