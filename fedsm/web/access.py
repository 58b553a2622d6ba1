"""Who may ask the web server, and what every answer says about itself."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fedsm.web.settings import HttpSettings

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
COOKIE = "fedsm"
COOKIE_RULES = "HttpOnly; SameSite=Strict; Path=/"


class Access:
    """ASGI middleware: the token, if there is one, and the names under which a loopback server may be called.

    A browser is given the token once, in the address of the page, and shows a cookie from then on.

    A page of another site can make a browser call 127.0.0.1 under that site's name (DNS rebinding): ``hosts`` are
    the names that are answered, None for all.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings, hosts: Collection[str] | None) -> None:
        self._app = app
        self._settings = settings
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

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("this server is asked under a name that is not its own\n", 421)
        token = self._settings.token
        if token is None or scope["path"] in OPEN_PATHS or self._is_shown(headers, token):
            return None
        if scope["path"] == "/" and _same(QueryParams(scope["query_string"]).get("token", ""), token):
            return RedirectResponse("/", 303, {"Set-Cookie": f"{COOKIE}={self._settings.cookie}; {COOKIE_RULES}"})
        advice = "a token is needed: Authorization: Bearer TOKEN, or once /?token=TOKEN in a browser\n"
        return PlainTextResponse(advice, 401, {"WWW-Authenticate": "Bearer"})

    def _is_shown(self, headers: Headers, token: str) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(shown.strip(), token):
            return True
        return _same(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""), self._settings.cookie)


def _same(shown: str, wanted: str) -> bool:
    return hmac.compare_digest(shown.encode(), wanted.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
