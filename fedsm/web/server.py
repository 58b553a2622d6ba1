"""Runs the web server beside the daemon, in a thread and with an event loop of its own."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from fedsm.errors import FedsmError
from fedsm.log import Logger
from fedsm.observe.station import Station
from fedsm.web.app import make_app
from fedsm.web.settings import HttpSettings

# More connections at once are refused: nobody needs them, and each costs memory.
MAX_CONNECTIONS = 64
CLOSE_S = 2.0


@contextmanager
def serving(settings: HttpSettings | None, member: int, station: Station, log: Logger) -> Iterator[None]:
    """Serve while the context lasts. FedsmError when the port that was asked for cannot be listened on."""
    listener = None if settings is None else _listen(settings, member, log)
    if settings is None or listener is None:
        yield
        return
    with listener:
        closing = threading.Event()
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(station, settings, closing),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        _hand_over_faults(log)
        thread = threading.Thread(target=server.run, args=([listener],), name="web", daemon=True)
        thread.start()
        try:
            yield
        finally:
            closing.set()
            server.should_exit = True
            thread.join(CLOSE_S)


def _hand_over_faults(log: Logger) -> None:
    """What goes wrong in the server's library goes into our log; what its clients do wrong does not."""

    class _Faults(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.error("http_fault", detail=record.getMessage(), exc_info=record.exc_info)

    library = logging.getLogger("uvicorn.error")
    library.handlers = [_Faults(logging.ERROR)]
    library.propagate = False


def _listen(settings: HttpSettings, member: int, log: Logger) -> socket.socket | None:
    """A listening socket; None when the default port is taken, which must not keep a member from signing."""
    host, port = settings.host, settings.port_of(member)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=MAX_CONNECTIONS)
    except OSError as error:
        # The library adds the address to the system's words.
        trouble = f"cannot listen on {url}: {os.strerror(error.errno) if error.errno else error}"
        if settings.port is not None:
            raise FedsmError(f"{trouble}; choose another with --http, or --http off") from None
        log.warning("http_not_served", detail=f"{trouble}; the daemon runs without it, --http names another")
        return None
    log.info("http_served", url=url, token=settings.token is not None)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
