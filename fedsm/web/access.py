"""Who may ask the web server, and what every answer says about itself."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing from elsewhere is loaded, nothing may frame it, and no answer is kept.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
# Tells that a process is there, and nothing else: supervisors ask it without a token.
OPEN_PATHS = frozenset({"/live"})


class Access:
    """ASGI middleware: the token, if there is one, and the names under which a loopback server may be called.

    A page of another site can make a browser call 127.0.0.1 under that site's name (DNS rebinding): ``hosts`` are
    the names that are answered, None for all.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str] | None) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("this server is asked under a name that is not its own\n", 421)
        if self._token is None or scope["path"] in OPEN_PATHS or self._is_shown(headers):
            return None
        advice = "a token is needed: send it as Authorization: Bearer TOKEN\n"
        return PlainTextResponse(advice, 401, {"WWW-Authenticate": "Bearer"})

    def _is_shown(self, headers: Headers) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        token = self._token or ""
        return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
