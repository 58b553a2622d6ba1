"""What the web server answers: health, metrics, status, and the operator's page with its events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from importlib import resources

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from fedsm.observe.station import Station
from fedsm.web.access import Access
from fedsm.web.diagram import diagram
from fedsm.web.settings import HttpSettings

# Starlette runs plain functions in a pool of threads; these take a millisecond, so they are coroutines.

MAX_LISTENERS = 16  # pages that follow at once
LOOK_S = 0.25  # how often it is looked for something new to tell them, and
TELL_LOOKS = 2  # in how many looks they are told in any case, for time passes too
FILES = {"": "text/html", "page.css": "text/css", "page.js": "text/javascript", "draw.js": "text/javascript"}
INDEX = "index.html"


class Pages:
    """The answers about one daemon."""

    def __init__(self, station: Station, closing: threading.Event) -> None:
        self._station = station
        self._closing = closing
        self._listeners = 0
        folder = resources.files("fedsm.web") / "static"
        self._files = {name: (folder / (name or INDEX)).read_bytes() for name in FILES}

    async def live(self, _: Request) -> Response:
        """200 while the daemon is at work, 503 when its engine hangs."""
        alive = self._station.is_alive()
        return PlainTextResponse("live\n" if alive else "the engine does not turn\n", 200 if alive else 503)

    async def ready(self, _: Request) -> Response:
        """Every check on a line; 503 unless all are ok."""
        status = self._station.status()
        lines = [f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.detail}\n" for check in status.checks]
        return PlainTextResponse("".join(lines), 200 if status.ready else 503)

    async def metrics(self, _: Request) -> Response:
        """The text format of Prometheus."""
        return Response(self._station.metrics(), media_type=CONTENT_TYPE_LATEST)

    async def status(self, _: Request) -> Response:
        """The status document."""
        return _json(self._station.status())

    async def height(self, request: Request) -> Response:
        """Everything that is known of one height."""
        detail = self._station.height(int(request.path_params["number"]))
        return PlainTextResponse("this height is too far away\n", 404) if detail is None else _json(detail)

    async def supply(self, _: Request) -> Response:
        """How the supply of reissued assets grew; read in a thread, for the daemon may be writing."""
        return _json(await run_in_threadpool(self._station.supply))

    async def diagram(self, _: Request) -> Response:
        """States and edges of the round machine, for the page to draw."""
        return _json(diagram())

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params.get("name", "")
        return Response(self._files[name], media_type=FILES[name]) if name in FILES else Response(status_code=404)

    async def events(self, _: Request) -> Response:
        """Server-sent events: the status document, at every change and twice a second."""
        if self._listeners >= MAX_LISTENERS:
            return PlainTextResponse("too many pages follow already\n", 503, {"Retry-After": "10"})
        return StreamingResponse(self._follow(), media_type="text/event-stream")

    async def _follow(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            last, looks = object(), 0
            while not self._closing.is_set():
                now, looks = self._station.moment, looks + 1
                if now != last or looks >= TELL_LOOKS:
                    last, looks = now, 0
                    yield b"data: " + msgspec.json.encode(self._station.status()) + b"\n\n"
                await asyncio.sleep(LOOK_S)
        finally:
            self._listeners -= 1


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


def make_app(station: Station, settings: HttpSettings, closing: threading.Event) -> Starlette:
    """The application for one daemon. What never ends by itself ends when ``closing`` is set."""
    pages = Pages(station, closing)
    hosts = {"127.0.0.1", "localhost", "::1", settings.host} if settings.is_loopback else None
    return Starlette(
        routes=[
            Route("/live", pages.live),
            Route("/ready", pages.ready),
            Route("/metrics", pages.metrics),
            Route("/status.json", pages.status),
            Route("/heights/{number:int}.json", pages.height),
            Route("/diagram.json", pages.diagram),
            Route("/supply.json", pages.supply),
            Route("/events", pages.events),
            Route("/", pages.file),
            Route("/{name}", pages.file),
        ],
        middleware=[Middleware(Access, settings=settings, hosts=hosts)],
    )
