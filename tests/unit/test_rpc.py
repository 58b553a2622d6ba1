"""NodeRpc against small real HTTP servers that do what nodes do: refuse, restart, drop, stall, warm up."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fedsm.chains.rpc import NodeRpc, RpcError, RpcUnavailable

PASSWORD = "p@ss/w:rd#%41?é"
OK = b'{"result":7,"error":null,"id":1}'


@dataclass
class Reply:
    """What the server answers to one request; ``close`` drops the connection, before or after the answer."""

    status: int = 200
    body: bytes = OK
    kind: str = "application/json"
    close: str = ""
    claimed_length: int | None = None
    release: threading.Event | None = None


@dataclass
class Node:
    """A server on a free port. ``answer`` picks the reply to a request; requests are kept as (path, body)."""

    answer: Callable[[dict[str, Any]], Reply] = lambda _request: Reply()
    authorization: str | None = None
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rpc(self, **options: Any) -> NodeRpc:
        given = {"user": "alice", "password": PASSWORD} if "cookie_file" not in options else {}
        return NodeRpc(self.url, **{**given, **options})


@contextmanager
def serving(node: Node) -> Iterator[Node]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece, as nodes send it

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            node.requests.append((self.path, body))
            node.connections.add(self.client_address)
            reply = node.answer(body)
            if node.authorization is not None and self.headers["Authorization"] != node.authorization:
                reply = Reply(401, b"", "text/html; charset=ISO-8859-1")
            if reply.release is not None:
                reply.release.wait(30)
            if reply.close == "before":
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(reply.claimed_length or len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = bool(reply.close)

        def log_message(self, *_args: Any) -> None:
            """Keep the test output clean."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_args: Any) -> None:
            """Clients that have given up waiting are part of the tests."""

    server = Server(("127.0.0.1", node.port), Handler)
    server.daemon_threads = True
    node.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def node() -> Iterator[Node]:
    with serving(Node()) as running:
        yield running


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Each reply once, in order."""
    left = list(replies)
    return lambda _request: left.pop(0)


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def failure(rpc: NodeRpc, method: str = "getblockcount", **options: Any) -> RpcUnavailable:
    with pytest.raises(RpcUnavailable) as caught:
        rpc.call(method, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert rpc.endpoint in text
    assert PASSWORD not in text
    return caught.value


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_call_sends_method_params_and_credentials_of_any_character(node: Node) -> None:
    node.authorization = basic(f"alice:{PASSWORD}")
    node.answer = lambda _request: Reply(body=b'{"result":{"relayfee":0.10000001},"error":null,"id":1}')
    rpc = node.rpc()
    assert rpc.call("getnewblockhex", [0, None, ["00"]]) == {"relayfee": Decimal("0.10000001")}
    path, request = node.requests[0]
    assert (path, request["method"], request["params"]) == ("/", "getnewblockhex", [0, None, ["00"]])


def test_a_wallet_is_addressed_by_its_path(node: Node) -> None:
    node.rpc(wallet="").call("getbalance")
    node.rpc(wallet="my wallet/1").call("getbalance")
    assert [path for path, _ in node.requests] == ["/wallet/", "/wallet/my%20wallet%2F1"]


def test_calls_of_one_thread_share_a_connection_and_errors_of_the_node_leave_it_in_use(node: Node) -> None:
    error = b'{"result":null,"error":{"code":-3,"message":"Wrong type passed:\\n{\\n  x\\n}"},"id":1}'
    node.answer = in_turn(Reply(), Reply(500, error), Reply())
    rpc = node.rpc()
    assert rpc.call("getblockcount") == 7
    with pytest.raises(RpcError) as caught:
        rpc.call("submitblock", [1])
    assert (caught.value.code, caught.value.message) == (-3, "Wrong type passed: { x }")
    assert str(caught.value) == "node error -3: Wrong type passed: { x }"
    assert rpc.call("getblockcount") == 7
    assert len(node.connections) == 1


def test_a_connection_dropped_while_idle_is_replaced_without_the_caller_noticing(node: Node) -> None:
    node.answer = in_turn(Reply(), Reply(close="before"), Reply(body=b'{"result":8,"error":null,"id":1}'))
    rpc = node.rpc()
    assert rpc.call("getblockcount") == 7
    assert rpc.call("getblockcount") == 8
    assert len(node.connections) == 2


def test_an_answer_cut_short_on_a_kept_connection_is_asked_for_again(node: Node) -> None:
    node.answer = in_turn(Reply(), Reply(claimed_length=100, close="after"), Reply())
    rpc = node.rpc()
    assert [rpc.call("getblockcount") for _ in range(2)] == [7, 7]
    assert len(node.requests) == 3


def test_the_repetition_happens_once_and_not_at_all_on_a_new_connection(node: Node) -> None:
    node.answer = in_turn(Reply(close="before"), Reply(), Reply(close="before"), Reply(close="before"), Reply())
    rpc = node.rpc()
    assert failure(rpc).kind == "dropped"
    assert len(node.requests) == 1
    assert rpc.call("getblockcount") == 7
    assert failure(rpc).kind == "dropped"
    assert len(node.requests) == 4
    assert rpc.call("getblockcount") == 7


def test_a_stalled_node_is_a_timeout_and_the_next_call_works(node: Node) -> None:
    release = threading.Event()
    node.answer = in_turn(Reply(release=release), Reply())
    rpc = node.rpc(timeout_ms=50)
    error = failure(rpc)
    release.set()
    assert error.kind == "timeout"
    assert "within 50 ms" in str(error)
    assert len(node.requests) == 1
    assert rpc.call("getblockcount", timeout_ms=10_000) == 7


def test_a_long_poll_may_have_a_longer_limit_than_other_calls(node: Node) -> None:
    release = threading.Event()
    node.answer = lambda _request: Reply(release=release)
    rpc = node.rpc(timeout_ms=1)
    timer = threading.Timer(0.1, release.set)
    timer.start()
    assert rpc.call("waitforblockheight", [9, 100], timeout_ms=30_000) == 7
    timer.join()


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(401, b"", "text/html; charset=ISO-8859-1"), "unauthorised", "user or password refused"),
        (Reply(403, b"", "text/html"), "unauthorised", "HTTP 403"),
        (Reply(503, b"Work queue depth exceeded", "text/plain"), "busy", "work queue full"),
        (Reply(404, b"", "text/html; charset=ISO-8859-1"), "not-json", "HTTP 404"),
        (Reply(200, b"<html>hello</html>", "text/html"), "not-json", "is this the node's RPC port"),
        (Reply(200, b"oops"), "not-json", "not JSON-RPC"),
        (Reply(200, b"\xff\xfe"), "not-json", "not JSON-RPC"),
        (Reply(200, b"[]"), "not-json", "not JSON-RPC"),
        (Reply(200, b"null"), "not-json", "not JSON-RPC"),
        (Reply(200, b"{}"), "not-json", "JSON-RPC"),
        (Reply(200, b'{"error":null}'), "not-json", "not JSON-RPC"),
        (Reply(500, b'{"error":3,"result":null,"id":1}'), "not-json", "not JSON-RPC"),
        (Reply(500, b'{"error":{"message":"?"},"result":null,"id":1}'), "not-json", "without a code"),
    ],
)
def test_what_is_no_answer_has_a_kind_and_the_next_call_works(
    node: Node, reply: Reply, kind: str, words: str
) -> None:
    node.answer = in_turn(reply, Reply())
    rpc = node.rpc()
    error = failure(rpc)
    assert error.kind == kind
    assert words in str(error)
    assert rpc.call("getblockcount") == 7


def test_a_node_that_is_starting_is_warming_up_whatever_its_text(node: Node) -> None:
    body = '{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":1}'.encode()
    node.answer = in_turn(Reply(500, body), Reply())
    rpc = node.rpc()
    error = failure(rpc)
    assert error.kind == "warming-up"
    assert "Loading block index…" in str(error)
    assert rpc.call("getblockcount") == 7
    assert len(node.connections) == 1


def test_a_node_that_is_down_refuses_and_is_found_once_it_is_up() -> None:
    node = Node(port=free_port())
    rpc = node.rpc()
    for _ in range(2):
        assert failure(rpc).kind == "refused"
    with serving(node):
        assert rpc.call("getblockcount") == 7


def test_an_unknown_host_name_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_args: Any, **_options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    error = failure(NodeRpc("http://node.invalid:7041", user="alice", password=PASSWORD))
    assert error.kind == "resolve"
    assert "Name or service not known" in str(error)


def test_a_server_that_speaks_no_http_is_not_json() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def greet() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        rpc = NodeRpc(f"http://127.0.0.1:{listener.getsockname()[1]}", user="alice", password=PASSWORD)
        assert failure(rpc).kind == "not-json"
        thread.join()


def test_the_cookie_of_a_restarted_node_is_read_again(node: Node, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:old")
    node.authorization = basic("__cookie__:old")
    rpc = node.rpc(cookie_file=cookie)
    assert rpc.call("getblockcount") == 7
    cookie.write_text("__cookie__:new")
    node.authorization = basic("__cookie__:new")
    node.answer = in_turn(Reply(), Reply())
    error = failure(rpc)  # the kept connection still sends the old cookie
    assert error.kind == "unauthorised"
    assert "cookie refused" in str(error)
    assert "old" not in str(error)
    assert rpc.call("getblockcount") == 7


def test_a_connection_dropped_by_a_restart_comes_back_with_the_new_cookie(node: Node, tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:old")
    rpc = node.rpc(cookie_file=cookie)
    node.answer = in_turn(Reply(close="after"), Reply())
    assert rpc.call("getblockcount") == 7
    cookie.write_text("__cookie__:new\n")
    node.authorization = basic("__cookie__:new")
    assert rpc.call("getblockcount") == 7


def test_cookie_trouble_is_told_by_kind(node: Node, tmp_path: Path) -> None:
    absent = failure(node.rpc(cookie_file=tmp_path / ".cookie"))
    assert absent.kind == "refused"
    assert "not running" in str(absent)
    unreadable = failure(node.rpc(cookie_file=tmp_path))
    assert unreadable.kind == "unauthorised"
    half_written = tmp_path / "half"
    half_written.write_text("__cookie__")
    assert failure(node.rpc(cookie_file=half_written)).kind == "unauthorised"
    assert node.requests == []


def test_threads_have_a_connection_each_and_no_call_fails(node: Node) -> None:
    node.answer = lambda request: Reply(body=json.dumps({"result": request["params"], "id": 1}).encode())
    rpc = node.rpc()
    wrong: list[Any] = []

    def many(number: int) -> None:
        for i in range(40):
            try:
                answer = rpc.call("echo", [number, i])
            except RpcUnavailable as error:
                answer = error
            if answer != [number, i]:
                wrong.append(answer)

    threads = [threading.Thread(target=many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(node.connections) == 4


def test_closing_ends_a_long_poll_of_another_thread_and_forbids_new_calls(node: Node) -> None:
    release = threading.Event()
    waiting = threading.Event()

    def stall(_request: dict[str, Any]) -> Reply:
        waiting.set()
        return Reply(release=release)

    node.answer = stall
    rpc = node.rpc()
    errors: list[RpcUnavailable] = []

    def poll() -> None:
        try:
            rpc.call("waitforblockheight", [9, 60_000], timeout_ms=70_000)
        except RpcUnavailable as error:
            errors.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    assert waiting.wait(30)
    rpc.close()
    thread.join()
    release.set()
    assert [error.kind for error in errors] == ["dropped"]
    assert len(node.requests) == 1
    assert "closed by us" in str(failure(rpc))


def test_parameters_that_are_not_json_are_the_callers_error(node: Node) -> None:
    with pytest.raises(TypeError):
        node.rpc().call("submitblock", [b"bytes"])
    assert node.requests == []


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:7041", "https://127.0.0.1:7041", "http://127.0.0.1", "http://127.0.0.1:x", "http://h:1/wallet/w"],
)
def test_a_url_without_scheme_host_and_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not of the form http://host:port"):
        NodeRpc(url, user="alice", password=PASSWORD)


def test_credentials_in_the_url_are_refused_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="must not hold") as caught:
        NodeRpc("http://alice:secret@127.0.0.1:7041", cookie_file=Path("x"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"user": "a"}, {"user": "a", "password": "b", "cookie_file": Path("c")}])
def test_exactly_one_way_of_authentication_is_asked_for(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a cookie file or a user and a password"):
        NodeRpc("http://127.0.0.1:7041", **options)
