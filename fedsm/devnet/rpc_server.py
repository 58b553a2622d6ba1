"""The HTTP side of a node's RPC: authentication, worker and queue limits, idle connections.

Behaves as elementsd's server does where a client can tell: statuses, bodies, keep-alive. An answer is
written in one piece on a socket without Nagle's algorithm, so that it never waits for an acknowledgement.
"""

from __future__ import annotations

import base64
import hmac
import socket
import threading
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedsm.devnet.rpc_dispatch import Dispatcher

HOST = "127.0.0.1"
LARGEST_BODY = 32 * 1024 * 1024  # bytes, as in the node's httpserver
FAILED_LOGIN_DELAY_S = 0.25  # the node's brake against guessing
POLL_S = 0.1
JSON, HTML = "application/json", "text/html; charset=ISO-8859-1"


class WorkQueue:
    """At most ``threads`` requests at work and ``depth`` waiting (-rpcthreads, -rpcworkqueue).

    ``waiting`` is how many wait now.
    """

    def __init__(self, threads: int = 16, depth: int = 64) -> None:
        self._threads = threads
        self._depth = depth
        self._working = 0
        self.waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait for a worker; False at once when too many wait already."""
        with self._changed:
            if self._working >= self._threads and self.waiting >= self._depth:
                admitted = False
            else:
                admitted = True
                self.waiting += 1
                self._changed.wait_for(lambda: self._working < self._threads)
                self.waiting -= 1
                self._working += 1
        try:
            yield admitted
        finally:
            if admitted:
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()

    def drain(self, timeout_s: float) -> None:
        """Wait until no request is at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working, timeout_s)


class RpcServer(ThreadingHTTPServer):
    """Serves one node on a loopback port; 0 takes a free one. ``credentials`` is ``user:password``."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        dispatcher: Dispatcher,
        credentials: str,
        *,
        port: int = 0,
        queue: WorkQueue | None = None,
        idle_timeout_s: float = 30.0,
    ) -> None:
        self.dispatcher = dispatcher
        self.authorization = b"Basic " + base64.b64encode(credentials.encode())
        self.queue = queue or WorkQueue()
        self.idle_timeout_s = idle_timeout_s
        self._connections: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(POLL_S,), daemon=True)

    def server_bind(self) -> None:
        """Bind without asking a name service for this machine's name, as the base class would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    @property
    def port(self) -> int:
        """The port that is served."""
        return self.server_port

    def start(self) -> None:
        """Answer requests from now on, in threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, let requests at work finish for a moment and close everything."""
        if self._thread.is_alive():  # a server that was never started has no loop to end
            self.shutdown()
            self._thread.join()
        self.queue.drain(timeout_s=2.0)
        self.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle of an answer is no news."""

    def add_connection(self, connection: socket.socket) -> None:
        """Note an open connection, to close it at the end."""
        self._connections.add(connection)

    def drop_connection(self, connection: socket.socket) -> None:
        """Forget a connection that was closed."""
        self._connections.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RpcServer
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.idle_timeout_s)
        self.server.add_connection(self.connection)

    def finish(self) -> None:
        self.server.drop_connection(self.connection)
        with suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        body = self._body()
        if body is None or not self._is_served():
            return
        with self.server.queue.turn() as admitted:
            if not admitted:
                self._reply(HTTPStatus.SERVICE_UNAVAILABLE, b"Work queue depth exceeded", HTML)
            elif not self._is_authorized():
                self._reply(HTTPStatus.UNAUTHORIZED, b"", HTML, {"WWW-Authenticate": 'Basic realm="jsonrpc"'})
            else:
                status, answer = self.server.dispatcher.answer(self.path, body)
                self._reply(HTTPStatus(status), answer, JSON)

    def do_GET(self) -> None:
        if self._is_served():
            self._reply(HTTPStatus.METHOD_NOT_ALLOWED, b"JSONRPC server handles only POST requests", HTML)

    do_PUT = do_HEAD = do_GET  # noqa: N815 - the base class names them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: the caller knows what it asked."""

    def _body(self) -> bytes | None:
        size = self.headers.get("Content-Length", "0")
        if not size.isdigit() or int(size) > LARGEST_BODY:
            self.close_connection = True
            self._reply(HTTPStatus.BAD_REQUEST, b"", HTML)
            return None
        return self.rfile.read(int(size))

    def _is_served(self) -> bool:
        if self.server.dispatcher.serves(self.path):
            return True
        self._reply(HTTPStatus.NOT_FOUND, b"", HTML)
        return False

    def _is_authorized(self) -> bool:
        given = self.headers.get("Authorization")
        if given is not None and hmac.compare_digest(given.encode(), self.server.authorization):
            return True
        if given is not None:
            time.sleep(FAILED_LOGIN_DELAY_S)
        return False

    def _reply(self, status: HTTPStatus, body: bytes, kind: str, extra: dict[str, str] | None = None) -> None:
        headers = {
            "Content-Type": kind,
            "Date": formatdate(usegmt=True),
            "Content-Length": str(len(body)),
            **({"Connection": "close"} if self.close_connection else {}),
            **(extra or {}),
        }
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.wfile.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
