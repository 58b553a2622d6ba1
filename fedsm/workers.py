"""Threads that do what may take long (node, signer), so that the engine never waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from states.events import Event

Job = Callable[[], Event | None]

log = structlog.get_logger(__name__)


class Workers:
    """A few daemon threads that take jobs from one queue and hand each job's event, if it has one, to ``deliver``.

    Being daemon threads they never hold up the end of the program, whatever a node or token is doing.
    """

    def __init__(self, name: str, threads: int, deliver: Callable[[Event], None]) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._deliver = deliver
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Have a thread do the job; its event follows. A job must turn its own failures into its event."""
        self._jobs.put(job)

    def close(self) -> None:
        """Let each thread end after the job it is at; does not wait for it."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                event = job()
            except Exception:
                # A fault of ours must cost one answer and not the thread; the machines' timeouts get over it.
                log.exception("worker_failed", worker=threading.current_thread().name)
            else:
                if event is not None:
                    self._deliver(event)
