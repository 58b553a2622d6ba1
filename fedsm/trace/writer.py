"""The thread that writes a trace, behind a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Any, NamedTuple

from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.trace.book import Book
from fedsm.trace.sheet import Transition
from states.events import BlockBuilt, BlockCombined, Event, Received

MAX_WAITING = 20_000
MAX_WAITING_BYTES = 64 * 1024 * 1024
# So many steps are few enough to begin anew after an interruption.
IDLE_WAITING = 100
# Steps are written this often: few wake-ups, and seldom in the midst of a round.
BATCH_S = 0.1
CLOSE_S = 5.0


class NewFile(NamedTuple):
    """From here on another file is written to; ``lost`` steps are missing before it, for a reason.

    ``machine`` is the memory of the machines (fedsm/trace/memory.py).
    """

    at_ms: int
    machine: Any
    lost: int
    reason: str


class _Stop(NamedTuple):
    lost: int
    reason: str


class Writer:
    """Writes to a book what is put. The engine's thread calls the public methods; none waits but ``close``.

    ``failures`` counts how often writing broke off, ``last_failure`` says why; until the next file whatever is put
    is dropped, and counted as lost there.
    """

    def __init__(self, book: Book, clock: Clock, log: Logger) -> None:
        self._book = book
        self._clock = clock
        self._log = log
        self._queue: queue.SimpleQueue[Transition | NewFile | _Stop] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="trace", daemon=True)
        # Each of these is written by one thread only, and read by the other one without a lock.
        self._put_steps = self._put_bytes = self._put_files = 0
        self._done_steps = self._done_bytes = self._done_files = 0
        self._full = self._overdue = False
        self.failures = 0
        self.last_failure = ""
        # The writer thread's own.
        self._broken = False
        self._given = 0  # to the file at hand
        self._dropped = 0

    # --- the engine's side

    @property
    def is_idle(self) -> bool:
        """Whether hardly anything waits."""
        return self._put_steps - self._done_steps <= IDLE_WAITING

    @property
    def is_full(self) -> bool:
        """Whether the next height should begin a new file."""
        return self._full and self._put_files == self._done_files

    @property
    def is_overdue(self) -> bool:
        """Whether the next step should begin a new file, whatever it is."""
        return self._overdue and self._put_files == self._done_files

    def start(self) -> None:
        """Begin a file for new machines, and the thread. FedsmError when the folder cannot be used.

        A disk that is full is no reason not to start: the trace then goes without its beginning.
        """
        try:
            self._book.open(self._clock.wall_ms())
        except OSError as error:
            self._fail(error, 0)
        self._thread.start()

    def put(self, transition: Transition) -> bool:
        """Have a step written. False when too much is waiting."""
        size = _size_of(transition.event)
        waiting_bytes = self._put_bytes + size - self._done_bytes
        if self._put_steps - self._done_steps >= MAX_WAITING or waiting_bytes > MAX_WAITING_BYTES:
            return False
        self._put_steps += 1
        self._put_bytes += size
        self._queue.put(transition)
        return True

    def put_file(self, file: NewFile) -> None:
        """Have a new file begun."""
        self._put_files += 1
        self._queue.put(file)

    def close(self, lost: int, reason: str) -> None:
        """Have everything written and the book closed; ``lost`` steps were not put at the end."""
        self._queue.put(_Stop(lost, reason))
        self._closing.set()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            self._log.warning("trace_not_finished", detail=f"not written within {CLOSE_S:g} s")

    # --- the thread

    def _work(self) -> None:
        self._tidy()
        running = True
        while running:
            running = self._take(self._queue.get())
            self._closing.wait(BATCH_S)
            while running and not self._queue.empty():
                running = self._take(self._queue.get())
            self._flush()
        self._book.close()

    def _take(self, item: Transition | NewFile | _Stop) -> bool:
        """Write one item; False after the last."""
        if isinstance(item, _Stop):
            self._end(item)
            return False
        if isinstance(item, NewFile):
            self._begin_file(item)
            return True
        try:
            if self._broken:
                self._dropped += 1
            else:
                self._given += 1
                self._book.step(item)
        except Exception as error:  # noqa: BLE001 - what cannot be written is missing, and said to be
            self._fail(error, 0)
        self._done_bytes += _size_of(item.event)
        self._done_steps += 1
        return True

    def _begin_file(self, file: NewFile) -> None:
        lost = file.lost + self._dropped
        try:
            if not self._broken:
                self._book.end_file(file.at_ms, stopped=False)
            self._given = 0
            self._book.begin_file(file.at_ms, file.machine, lost=lost, reason=file.reason or self.last_failure)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error, lost)
        else:
            self._broken, self._dropped = False, 0
            if lost:
                self._log.warning("trace_resumed", lost=lost)
            self._tidy()
        self._full = self._overdue = False
        self._done_files += 1

    def _flush(self) -> None:
        try:
            if not self._broken:
                self._book.flush()
        except OSError as error:
            self._fail(error, 0)
        self._full, self._overdue = self._book.is_full, self._book.is_overdue

    def _fail(self, error: Exception, lost: int) -> None:
        """Keep what can be kept of the file at hand; what is put from here on is dropped."""
        with contextlib.suppress(OSError):
            self._book.flush()
        if not self._broken:  # further attempts that fail are no news
            self._log.error("trace_not_written", detail=str(error))
        self._broken = True
        self._dropped = lost + self._given - self._book.steps
        self.last_failure = str(error)
        self.failures += 1

    def _end(self, stop: _Stop) -> None:
        lost = stop.lost + self._dropped
        try:
            if lost:
                self._book.gap(self._clock.wall_ms(), lost, stop.reason or self.last_failure)
            self._book.end_file(self._clock.wall_ms(), stopped=True)
        except OSError as error:
            self._log.error("trace_not_written", detail=str(error))

    def _tidy(self) -> None:
        try:
            self._book.tidy()
        except OSError as error:
            self._log.warning("trace_not_compressed", detail=str(error))


def _size_of(event: Event) -> int:
    """About what an event keeps in memory while it waits; its effects hold the same bodies."""
    if isinstance(event, Received):
        return len(event.envelope)
    return len(event.block or b"") if isinstance(event, BlockBuilt | BlockCombined) else 0
