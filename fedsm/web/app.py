"""What the web server answers: /live, /ready, /metrics and /status.json."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fedsm.observe.station import Station
from fedsm.web.access import Access
from fedsm.web.settings import HttpSettings

# Starlette runs plain functions in a pool of threads; these take a millisecond, so they are coroutines.


class Pages:
    """The answers about one daemon."""

    def __init__(self, station: Station) -> None:
        self._station = station

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
        return Response(msgspec.json.encode(self._station.status()), media_type="application/json")


def make_app(station: Station, settings: HttpSettings) -> Starlette:
    """The application for one daemon."""
    pages = Pages(station)
    hosts = {"127.0.0.1", "localhost", "::1", settings.host} if settings.is_loopback else None
    return Starlette(
        routes=[
            Route("/live", pages.live),
            Route("/ready", pages.ready),
            Route("/metrics", pages.metrics),
            Route("/status.json", pages.status),
        ],
        middleware=[Middleware(Access, token=settings.token, hosts=hosts)],
    )
