"""A member's disk that can be put away and taken up again, many thousand times."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from fedsm.simulator.disk import Disk
from fedsm.simulator.model.likeness import row_likeness
from states.memory import LockTaken, Memory, Record, VoteCast


class Image(NamedTuple):
    """What is on a disk, as bytes, and as rows: equal for disks that count as the same."""

    data: bytes
    rows: tuple[tuple[Any, ...], ...]


class _CopiedDisk(Disk):
    """A disk whose whole content can be read and replaced."""

    def __init__(self, member: int) -> None:
        super().__init__(member)
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        self._tables = [name for (name,) in self._connection.execute(tables).fetchall()]

    def image(self, height: int) -> Image:
        """All that is on it. Nothing reads rows of a height below ``height`` again."""
        rows: list[tuple[Any, ...]] = []
        for table in self._tables:
            for row in self._connection.execute(f"SELECT * FROM {table}").fetchall():  # noqa: S608
                is_over = isinstance(row[0], int) and row[0] < height
                rows.append((table, *row[:2]) if is_over else row_likeness(table, row))
        return Image(zlib.compress(self._connection.serialize(), 1), tuple(sorted(rows, key=repr)))

    def load(self, image: Image) -> None:
        """Replace everything: on a new connection, for the old one has plans for its tables."""
        self._connection.close()
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.deserialize(zlib.decompress(image.data))
        self._open()


class ModelDisk:
    """A Store that is not opened before it is used: most steps of a member do not touch its disk."""

    is_full, garbles = False, False
    cut_after: int | None = None

    def __init__(self, member: int) -> None:
        self._disk = _CopiedDisk(member)
        self._image: Image | None = None

    def load(self, image: Image) -> None:
        """What an image holds replaces what is there."""
        self._image = image

    def image(self, height: int) -> Image:
        """All that is on it, while ``height`` is open."""
        return self._disk.image(height) if self._image is None else self._image

    def _opened(self) -> Disk:
        if self._image is not None:
            self._disk.load(self._image)
            self._image = None
        return self._disk

    def restore(self, height: int) -> Memory:
        """See Store."""
        return self._opened().restore(height)

    def record(self, records: Sequence[Record]) -> None:
        """See Store."""
        self._opened().record(records)

    def sign(self, height: int, block_hash: str, block: bytes) -> bytes:
        """See Store."""
        return self._opened().sign(height, block_hash, block)

    def verifies(self, block_hash: str, signature: bytes) -> bool:
        """See Store."""
        return self._disk.verifies(block_hash, signature)

    def close_height(self, height: int) -> None:
        """See Store."""
        self._opened().close_height(height)

    def restart(self) -> None:
        """See Store."""
        self._opened().restart()

    def vote(self, height: int, round_: int, kind: str) -> VoteCast | None:
        """See Store."""
        return self._opened().vote(height, round_, kind)

    def lock(self, height: int) -> LockTaken | None:
        """See Store."""
        return self._opened().lock(height)
