"""A thread that ends the process when its engine hangs, so that whoever supervises it starts it again."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fedsm.log import Logger
from fedsm.service_manager import ServiceManager

LOOK_S = 1.0
# The engine turns at least once a second. What holds it for so long (a disk that does not answer, a fault of ours)
# is not going to let it go.
HANG_MS = 60_000
STATUS = 70  # EX_SOFTWARE


class Watchdog:
    """Looks at the pulse once a second.

    ``since_pulse_ms`` says how long ago the engine turned, ``describe`` gives the line for the service manager.
    """

    def __init__(
        self,
        since_pulse_ms: Callable[[], int],
        describe: Callable[[], str],
        manager: ServiceManager,
        log: Logger,
        *,
        hang_ms: int = HANG_MS,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._since_pulse_ms = since_pulse_ms
        self._describe = describe
        self._manager = manager
        self._log = log
        self._hang_ms = hang_ms
        self._end = end
        self._watched = threading.main_thread().ident
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the context lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()

    def look(self) -> None:
        """Tell the service manager that the engine turns, or end the process because it does not."""
        silent_ms = self._since_pulse_ms()
        if silent_ms > self._hang_ms:
            self._log.critical("engine_hangs", silent_ms=silent_ms, detail=self._place())
            self._end(STATUS)
            return
        self._manager.alive()
        self._manager.status(self._describe())

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()

    def _place(self) -> str:
        """Where the main thread is: places in the code, no values."""
        frame = sys._current_frames().get(self._watched or 0)  # noqa: SLF001 - there is no other way to it
        return "" if frame is None else "".join(traceback.format_stack(frame))
