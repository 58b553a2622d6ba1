"""Several transports at once: what is sent goes out on all, what comes in is taken from whichever is first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from transports.base import Deliver, LinkStatus, Transport, TransportError, start_thread
from transports.echoes import Echoes

RETRY_S = 10.0  # until a transport that could not start is tried again

log = structlog.get_logger(__name__)


@dataclass
class _Part:
    """One of the transports. ``make`` gives a new one, as each is started only once."""

    name: str
    make: Callable[[], Transport]
    since_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    transport: Transport | None = None  # made, and perhaps still starting
    running: bool = False
    failure: str = ""  # logged last, empty while it works
    thread: threading.Thread | None = None


class FanoutTransport:
    """Runs the transports that ``makers`` make, by name. None of them can stop the others.

    A message that several of them bring is delivered once. ``deliver`` is called on the threads of all, so perhaps
    on several at once. One that fails to start is made anew and tried again every RETRY_S seconds.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Transport]]) -> None:
        self._parts = [_Part(name, make) for name, make in makers.items()]
        self._echoes = Echoes(len(self._parts))
        self._counting = threading.Lock()  # guards _echoes
        self._changing = threading.Condition()  # guards the parts' transports and failures, and _running
        self._running = False
        self._started = False

    def start(self, deliver: Deliver) -> None:
        """Begin to receive as soon as one of the transports does.

        Raises the first one's TransportError if none of them can be started.
        """
        with self._changing:
            if self._started:
                raise TransportError("this transport was started before")
            self._started = self._running = True
            for way, part in enumerate(self._parts):
                part.thread = start_thread(
                    f"start-{part.name}", self._keep_starting, part, self._receiver(way, deliver)
                )
            self._changing.wait_for(self._has_begun)
            works = any(part.running for part in self._parts)
        if not works:
            self.close()
            raise TransportError(self._parts[0].failure or "closed while starting")

    def send(self, data: bytes) -> None:
        """Send on every transport that runs; one that refuses is logged. Raises TransportError if not running."""
        with self._changing:
            if not self._running:
                raise TransportError("the transports are not running")
            for part in self._parts:
                if part.transport is None or not part.running:
                    continue
                try:
                    part.transport.send(data)
                except TransportError as error:
                    _note(part, str(error))
                else:
                    _note(part, "")

    def close(self) -> None:
        """Close all transports, those too that are just starting. Not to be called from ``deliver``."""
        with self._changing:
            self._running = False
            self._changing.notify_all()
        for part in self._parts:
            if part.transport is not None:
                part.transport.close()
            if part.thread is not None:
                part.thread.join()

    def status(self) -> tuple[LinkStatus, ...]:
        """The links of all transports; one that could not start yet is a link that is down, by its name."""
        links: list[LinkStatus] = []
        for part in self._parts:
            if part.transport is not None and part.running:
                links += part.transport.status()
            else:
                links.append(
                    LinkStatus(None, part.name, connected=False, since_ms=part.since_ms, received=0, refused=0)
                )
        return tuple(links)

    def _has_begun(self) -> bool:
        failed = all(part.failure for part in self._parts)
        return failed or not self._running or any(part.running for part in self._parts)

    def _receiver(self, way: int, deliver: Deliver) -> Deliver:
        def receive(data: bytes, via: str) -> None:
            with self._counting:
                is_echo = self._echoes.is_echo(way, data, time.monotonic())
            if not is_echo:
                deliver(data, via)

        return receive

    def _keep_starting(self, part: _Part, deliver: Deliver) -> None:
        while not self._start(part, deliver):
            with self._changing:
                if self._changing.wait_for(lambda: not self._running, RETRY_S):
                    return

    def _start(self, part: _Part, deliver: Deliver) -> bool:
        """Make the transport and start it; whether it runs."""
        failure = ""
        try:
            transport = part.make()
            part.transport = transport  # close() may end a start that takes long
            transport.start(deliver)
        except TransportError as error:
            failure = str(error)
        except Exception as error:  # a fault in one must neither stop the others nor leave start() waiting
            log.exception("transport_fault", transport=part.name)
            failure = f"{type(error).__name__}: {error}"
        with self._changing:
            part.running = not failure and self._running
            _note(part, failure)
            self._changing.notify_all()
        if not part.running and part.transport is not None:
            part.transport.close()
        return not failure


def _note(part: _Part, failure: str) -> None:
    """Log when a transport begins to fail, fails in another way, or works again."""
    if failure == part.failure:
        return
    part.failure = failure
    if failure:
        log.error("transport_failed", transport=part.name, detail=failure)
    else:
        log.info("transport_works", transport=part.name)
