"""The files of a running daemon's trace on disk."""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from pathlib import Path
from typing import Any

from fedsm.errors import FedsmError
from fedsm.trace.files import file_name, files_in, last_line, tidy
from fedsm.trace.lines import digest_of
from fedsm.trace.settings import ROOM_FILES
from fedsm.trace.sheet import Mark, Origin, Sheet, Transition

LOCK_FILE = "trace.lock"
# A file that has grown this much beyond its size does not wait for the next height.
OVERDUE = 1.5
# So much is held back at most, however many steps are written without a flush.
FLUSH_BYTES = 1_000_000


class Book:
    """Used by one thread at a time. OSError when the disk takes no more, ValueError and the like for what no line
    can say: after any of them no step may be written before ``begin_file``.
    """

    def __init__(self, directory: Path, origin: Origin, file_bytes: int, total_bytes: int) -> None:
        self._directory = directory
        self._origin = origin
        self._file_bytes = file_bytes
        self._kept_bytes = total_bytes - ROOM_FILES * file_bytes
        self._lock: int | None = None
        self._file: int | None = None
        self._number = 0
        self._sheet = Sheet()
        self._pending = b""
        # What is on disk of the file at hand.
        self._size = 0
        self._mark = self._sheet.mark

    @property
    def is_full(self) -> bool:
        """Whether the next height should begin a new file."""
        return self._size >= self._file_bytes

    @property
    def is_overdue(self) -> bool:
        """Whether a new file should begin whatever comes next."""
        return self._size >= self._file_bytes * OVERDUE

    @property
    def steps(self) -> int:
        """How many steps of the file at hand are on disk."""
        return self._mark.steps

    # --- files

    def open(self, at_ms: int) -> None:
        """Take the folder, and begin a file for new machines after the last line that is in it.

        FedsmError when it is no folder for a trace or another daemon writes there; OSError as above.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._find_end()
        except BlockingIOError:
            raise FedsmError(f"another daemon writes its trace to {self._directory}") from None
        except OSError as error:
            raise FedsmError(f"cannot write a trace to {self._directory}: {error}") from None
        self.begin_file(at_ms)

    def _find_end(self) -> None:
        """The number of the last file and the hash of its last line; a file without any is removed."""
        for number, path in reversed(files_in(self._directory).items()):
            try:
                line = last_line(path)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                self._number = number  # whoever reads the trace will be told; the daemon need not wait for that
                return
            if line is not None:
                self._number, self._mark = number, Mark(digest_of(line), 0, 0)
                return
            path.unlink()

    def begin_file(self, at_ms: int, machine: Any = None, *, lost: int = 0, reason: str = "") -> None:
        """Begin the next file, with the memory of the machines (fedsm/trace/memory.py) unless they are new."""
        self._leave_file()
        path = self._directory / file_name(self._number + 1)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        before, self._sheet, self._size = self._mark, Sheet(self._mark.digest), 0
        self._mark = self._sheet.mark
        try:
            self._sheet.header(self._origin, self._number + 1, at_ms, new=machine is None)
            if lost:
                self._sheet.gap(at_ms, lost, reason)
            if machine is not None:
                self._sheet.machine(machine)
            self.flush()
        except BaseException:
            self._leave_file()
            path.unlink()
            self._mark = Mark(before.digest, 0, 0)
            raise
        self._number += 1

    def end_file(self, at_ms: int, *, stopped: bool) -> None:
        """Write the last line of the file at hand."""
        self._sheet.end(at_ms, stopped=stopped)
        self.flush()

    def tidy(self) -> None:
        """Compress and remove older files."""
        tidy(self._directory, self._number, self._kept_bytes)

    def close(self) -> None:
        """Leave the folder to others."""
        self._leave_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _leave_file(self) -> None:
        self._pending = b""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # --- lines

    def step(self, transition: Transition) -> None:
        """Write a step; it may be on disk only after ``flush``."""
        self._sheet.step(transition)
        self._pending += self._sheet.take()
        if len(self._pending) > FLUSH_BYTES:
            self.flush()

    def gap(self, at_ms: int, lost: int, reason: str) -> None:
        """Say that events are missing after the last line."""
        self._sheet.gap(at_ms, lost, reason)

    def flush(self) -> None:
        """Have everything on disk, or nothing since the last flush."""
        if self._file is None:
            return
        data = self._pending + self._sheet.take()
        self._pending = b""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            self._sheet.go_back(self._mark)
            raise
        self._size += written
        self._mark = self._sheet.mark
