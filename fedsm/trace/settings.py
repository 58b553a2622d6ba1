"""What an operator may choose about the trace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1_000_000
DEFAULT_FILE_BYTES = 16 * MEGABYTE
DEFAULT_TOTAL_BYTES = 1000 * MEGABYTE
# Room that is kept for the file at hand and for the one that is being compressed; both may be somewhat too large.
ROOM_FILES = 4
# Something must remain, or every new file would push out what it follows.
LEAST_FILES = ROOM_FILES + 2


@dataclass(frozen=True)
class TraceSettings:
    """Where the trace goes and what it may take.

    ``directory`` None means the folder ``trace`` beside the guard. A new file begins at about ``file_bytes``, at
    the start of a height if one comes in time; older files are compressed, and the oldest removed so that all
    together take ``total_bytes`` at most. ValueError when six files do not fit into that.
    """

    directory: Path | None = None
    file_bytes: int = DEFAULT_FILE_BYTES
    total_bytes: int = DEFAULT_TOTAL_BYTES

    def __post_init__(self) -> None:
        if self.file_bytes < 1 or self.total_bytes < LEAST_FILES * self.file_bytes:
            raise ValueError(
                f"a trace of {self.total_bytes} bytes does not hold {LEAST_FILES} files of {self.file_bytes}"
            )


DEFAULT_TRACE = TraceSettings()
