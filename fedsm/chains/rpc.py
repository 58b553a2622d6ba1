"""Calls to a node's JSON-RPC: python-bitcoinrpc made fit for threads, restarts and clear errors.

python-bitcoinrpc gives the protocol; around it stand a connection per thread, a time limit per call, the
node's cookie read anew for every connection, and a closed set of errors. Its proxies are useless after any
transport error, so the connection is thrown away then; nodes close idle connections (-rpcservertimeout), so a
call that finds its kept connection dropped is made once more on a new one. Every call made here may be made
twice: none has a different outcome the second time.
"""

from __future__ import annotations

import base64
import http.client
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote, urlsplit
from weakref import WeakSet

from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UnavailableKind = Literal[
    "refused", "timeout", "dropped", "warming-up", "busy", "unauthorised", "not-json", "resolve"
]

TIMEOUT_MS = 30_000
RPC_IN_WARMUP = -28
LIBRARY_CODES = (-342, -343)  # python-bitcoinrpc's own: no JSON in the answer; JSON without a result
LONGEST_MESSAGE = 500

# At debug level the library logs every parameter, whole blocks and private keys among them.
logging.getLogger("BitcoinRPC").setLevel(logging.WARNING)


class RpcError(Exception):
    """The node answered with an error object: its ``code`` and ``message`` (brought onto one line)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"node error {code}: {_one_line(message)}")
        self.code = code
        self.message = _one_line(message)


class RpcUnavailable(Exception):  # noqa: N818 - it names the state of the node, which may pass
    """The node could not be asked, and may be later. ``kind`` is stable; the text is one line, no secrets."""

    def __init__(self, kind: UnavailableKind, message: str) -> None:
        super().__init__(_one_line(message))
        self.kind: UnavailableKind = kind


class RpcCaller(Protocol):
    """What chain profiles need of a node: NodeRpc, or a stand-in for it."""

    def call(self, method: str, params: Sequence[object] = (), *, timeout_ms: int | None = None) -> Any:
        """The result of one call, as NodeRpc.call gives it."""


class NodeRpc:
    """One node's RPC server, callable from any thread.

    ``url`` is ``http://host:port``. Authentication is by ``cookie_file`` (the node's .cookie, read again for
    each connection, since a restart changes it) or by ``user`` and ``password``. ``wallet`` directs the calls
    to one loaded wallet. ``timeout_ms`` bounds connecting and each wait for bytes of the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        cookie_file: Path | None = None,
        wallet: str | None = None,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        self._host, self._port = _host_and_port(url)
        if (cookie_file is None) == (user is None or password is None):
            raise ValueError("node RPC: give either a cookie file or a user and a password")
        self._cookie_file = cookie_file
        self._credentials = f"{user}:{password}"
        self._timeout_ms = timeout_ms
        path = "" if wallet is None else f"/wallet/{quote(wallet, safe='')}"
        # The library wants credentials in the URL and takes them unquoted; the connection sends the real ones.
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._library_url = f"http://user:none@{host}:{self._port}{path or '/'}"
        self._per_thread = threading.local()
        self._connections: WeakSet[_Connection] = WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def endpoint(self) -> str:
        """``host:port``, for messages."""
        return f"{self._host}:{self._port}"

    def call(self, method: str, params: Sequence[object] = (), *, timeout_ms: int | None = None) -> Any:
        """The result of one RPC; numbers with a point come as Decimal.

        ``timeout_ms`` replaces the usual limit (a long poll needs more than its own waiting time). Raises
        RpcError when the node refuses and RpcUnavailable when it cannot be asked.
        """
        limit_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        reused = getattr(self._per_thread, "connection", None) is not None
        try:
            return self._call_once(method, params, limit_ms)
        except RpcUnavailable as error:
            if error.kind != "dropped" or not reused or self._closed:
                raise
        return self._call_once(method, params, limit_ms)

    def close(self) -> None:
        """End every connection; calls that wait for an answer, long polls too, fail as dropped at once."""
        with self._lock:
            self._closed = True
            connections = list(self._connections)
        for connection in connections:
            connection.abort()

    def _call_once(self, method: str, params: Sequence[object], limit_ms: int) -> Any:
        connection = self._connection(limit_ms)
        connection.status = None
        proxy = AuthServiceProxy(self._library_url, method, limit_ms / 1000, connection)
        try:
            return proxy(*params)
        except JSONRPCException as error:
            raise self._read_error(error, connection) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, limit_ms) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            if connection.status is None:
                raise  # nothing was sent: the caller's parameters cannot be written as JSON
            # what the library trips over when the answer is not JSON, or JSON of another shape
            raise self._unavailable("not-json", "the answer is not JSON-RPC") from None

    def _connection(self, limit_ms: int) -> _Connection:
        connection: _Connection | None = getattr(self._per_thread, "connection", None)
        if connection is None:
            connection = _Connection(self._host, self._port, self._authorization())
            with self._lock:
                self._connections.add(connection)
            self._per_thread.connection = connection
        if self._closed:
            raise self._unavailable("dropped", "closed by us")
        connection.timeout = limit_ms / 1000
        return connection

    def _authorization(self) -> str:
        credentials = self._credentials if self._cookie_file is None else self._read_cookie(self._cookie_file)
        return "Basic " + base64.b64encode(credentials.encode()).decode()

    def _read_cookie(self, path: Path) -> str:
        try:
            cookie = path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            hint = "the node is not running, or it has another data directory"
            raise self._unavailable("refused", f"no cookie file {path}: {hint}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unavailable("unauthorised", f"cannot read cookie file {path}: {error}") from None
        if ":" not in cookie:
            raise self._unavailable("unauthorised", f"cookie file {path} does not hold user:password")
        return cookie

    def _read_error(self, error: JSONRPCException, connection: _Connection) -> RpcError | RpcUnavailable:
        code, message = error.code, str(error.message)
        if code in LIBRARY_CODES:
            return self._not_an_answer(connection.status)
        if not isinstance(code, int):
            return self._unavailable("not-json", "the answer has an error without a code")
        if code == RPC_IN_WARMUP:
            return self._unavailable("warming-up", f"starting up: {message}")
        return RpcError(code, message)

    def _not_an_answer(self, status: int | None) -> RpcUnavailable:
        if status in (401, 403):
            what = "user or password refused" if self._cookie_file is None else "cookie refused"
            return self._unavailable("unauthorised", f"{what} (HTTP {status})")
        if status == 503:
            return self._unavailable("busy", "work queue full or shutting down (HTTP 503)")
        return self._unavailable("not-json", f"HTTP {status} without JSON-RPC: is this the node's RPC port?")

    def _unreachable(self, error: OSError | http.client.HTTPException, limit_ms: int) -> RpcUnavailable:
        if isinstance(error, TimeoutError):
            return self._unavailable("timeout", f"no answer within {limit_ms} ms")
        if isinstance(error, socket.gaierror):
            return self._unavailable("resolve", f"host name not found ({error.strerror})")
        dropped = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, http.client.IncompleteRead)
        if isinstance(error, dropped) or self._closed:
            return self._unavailable("dropped", "the connection was closed before the answer was complete")
        if isinstance(error, OSError):
            return self._unavailable("refused", f"no connection ({error.strerror or type(error).__name__})")
        return self._unavailable("not-json", f"the answer is not HTTP ({type(error).__name__})")

    def _unavailable(self, kind: UnavailableKind, text: str) -> RpcUnavailable:
        """Make the error, and see to it that this thread's next call starts on a new connection."""
        connection: _Connection | None = getattr(self._per_thread, "connection", None)
        if connection is not None and kind != "warming-up":
            connection.close()
            self._per_thread.connection = None
        return RpcUnavailable(kind, f"node at {self.endpoint}: {text}")


class _Connection(http.client.HTTPConnection):
    """A keep-alive connection that sends its own credentials and remembers the last HTTP status."""

    def __init__(self, host: str, port: int, authorization: str) -> None:
        super().__init__(host, port)
        self.status: int | None = None
        self._authorization = authorization

    def request(  # type: ignore[override]  # the library passes these four by position
        self, method: str, url: str, body: str, headers: dict[str, Any]
    ) -> None:
        super().request(method, url, body, {**headers, "Authorization": self._authorization})

    def getresponse(self) -> http.client.HTTPResponse:
        response = super().getresponse()
        self.status = response.status
        return response

    def abort(self) -> None:
        """Wake up whatever thread is waiting on the socket, by ending the connection under it."""
        sock = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended already


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.username is not None or parts.password is not None:
        raise ValueError("node RPC: the URL must not hold a user or password")
    if parts.scheme != "http" or not parts.hostname or not port or parts.path not in ("", "/"):
        raise ValueError(f"node RPC: {url!r} is not of the form http://host:port")
    return parts.hostname, port


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_MESSAGE]
