"""SIGHUP: the log file is opened anew, and what can change without a restart is read again."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from fedsm.errors import FedsmError
from fedsm.log import Logger


class Reloader:
    """Does ``reload`` in a thread of its own, since a signal handler may interrupt the engine anywhere."""

    def __init__(self, reload: Callable[[], None], log: Logger) -> None:
        self._reload = reload
        self._log = log
        # Unlike a Condition, it may be used in a signal handler whatever the main thread is at.
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reload", daemon=True)

    def want(self) -> None:
        """Reload soon. Safe in a signal handler."""
        self._wanted.put(True)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do what is wanted while the context lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._wanted.put(False)

    def _work(self) -> None:
        while self._wanted.get():
            try:
                self._reload()
            except (FedsmError, click.ClickException) as error:
                message = error.format_message() if isinstance(error, click.ClickException) else str(error)
                self._log.error("reload_failed", detail=message)
