"""The HTTP side of a node: cookies, idle connections, queues, long polls, JSON-RPC versions, the end."""

from __future__ import annotations

import json
import socket
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest
from bitcoinrpc.authproxy import AuthServiceProxy, JSONRPCException

from fedsm.chains.script import Multisig
from fedsm.devnet import Devnet, RpcSettings
from tests.elements_vectors import load
from tests.unit.devnet_support import RpcClient, eventually, mine, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRETS = secrets_of(load("rpc_errors")["chains"][0]["members"][:1])
FEDERATION = Multisig(1, tuple(SECRETS))
QUEUE_FULL = next(case for case in load("rpc_errors")["http"] if "replies_503" in case)


def _in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run a call in a thread; its result is appended to the list."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def _waiting(devnet: Devnet, number: int) -> bool:
    active = RpcClient(devnet.services[0]).call("getrpcinfo")["active_commands"]
    return sum(command["method"].startswith("waitfor") for command in active) == number


def test_a_node_without_a_password_writes_an_owner_only_cookie_and_removes_it_at_the_end(tmp_path: Path) -> None:
    with Devnet(1, FEDERATION, datadir=tmp_path) as devnet:
        cookie = devnet.services[0].cookie_file
        assert cookie == tmp_path / "node-0" / devnet.params.chain / ".cookie"
        assert stat.S_IMODE(cookie.stat().st_mode) == 0o600
        user, password = cookie.read_text().split(":")
        assert (user, len(password)) == ("__cookie__", 64)
        assert RpcClient(devnet.services[0], (user, password)).call("getblockcount") == 0
    assert not cookie.exists()


def test_with_a_password_there_is_no_cookie(tmp_path: Path) -> None:
    settings = RpcSettings(user="ann", password="pass")
    with Devnet(1, FEDERATION, datadir=tmp_path, rpc=settings) as devnet:
        assert not list(tmp_path.rglob(".cookie"))
        assert RpcClient(devnet.services[0], ("ann", "pass")).call("getblockcount") == 0
        answer = RpcClient(devnet.services[0], ("ann", "wrong")).answer("getblockcount")
        assert (answer.status, answer.body) == (401, b"")


def test_an_idle_connection_is_closed() -> None:
    with Devnet(1, FEDERATION, rpc=RpcSettings(idle_timeout_s=0.2)) as devnet:
        with socket.create_connection(("127.0.0.1", devnet.services[0].port), timeout=20) as connection:
            assert connection.recv(1) == b""
        client = RpcClient(devnet.services[0])
        assert client.call("getblockcount") == 0
        assert client.connection.sock.recv(1) == b""


def test_requests_beyond_the_work_queue_are_turned_away_as_recorded() -> None:
    with Devnet(1, FEDERATION, rpc=RpcSettings(threads=1, work_queue=1)) as devnet:
        service = devnet.services[0]
        busy, _ = _in_thread(lambda: RpcClient(service).call("waitfornewblock"))
        eventually(lambda: len(service.server.dispatcher.context.active) == 1)
        queued, counts = _in_thread(lambda: RpcClient(service).call("getblockcount"))
        eventually(lambda: service.server.queue.waiting == 1)
        answer = RpcClient(service).answer("getblockcount")
        assert (answer.status, answer.body.decode()) == (QUEUE_FULL["http_status"], QUEUE_FULL["reply_body"])
        mine(service.node, SECRETS)
        busy.join()
        queued.join()
        assert counts == [1]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("waitfornewblock", [60_000]), ("waitforblockheight", [1, 60_000]), ("waitforblockheight", [1])],
)
def test_long_polls_wake_with_the_block_they_wait_for(method: str, arguments: list[int]) -> None:
    with Devnet(2, FEDERATION) as devnet:
        thread, results = _in_thread(lambda: RpcClient(devnet.services[0]).call(method, *arguments))
        eventually(lambda: _waiting(devnet, 1))
        block = mine(devnet.services[1].node, SECRETS)
        thread.join()
        assert results == [{"hash": block.hash, "height": 1}]


def test_a_long_poll_for_a_certain_block_ends_when_it_is_the_tip() -> None:
    with Devnet(1, FEDERATION) as devnet:
        node = devnet.services[0].node
        with Devnet(1, FEDERATION) as other:
            first, second = (mine(other.services[0].node, SECRETS) for _ in range(2))
        thread, results = _in_thread(lambda: RpcClient(devnet.services[0]).call("waitforblock", second.hash))
        eventually(lambda: _waiting(devnet, 1))
        node.submit(first)
        assert thread.is_alive()
        node.submit(second)
        thread.join()
        assert results == [{"hash": second.hash, "height": 2}]


def test_a_long_poll_answers_the_tip_when_its_time_is_over() -> None:
    with Devnet(1, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        tip = {"hash": client.call("getbestblockhash"), "height": 0}
        assert client.call("waitfornewblock", 1) == tip
        assert client.call("waitforblockheight", 5, 1) == tip
        assert client.call("waitforblockheight", 0, 60_000) == tip
        assert client.error("waitfornewblock", -1) == (-1, "Negative timeout")


def test_the_stop_rpc_ends_the_node_and_answers_who_waits() -> None:
    with Devnet(2, FEDERATION) as devnet:
        service = devnet.services[0]
        thread, results = _in_thread(lambda: RpcClient(service).call("waitfornewblock"))
        eventually(lambda: _waiting(devnet, 1))
        assert RpcClient(service).call("stop") == "Elements Core stopping"
        thread.join()
        assert results[0]["height"] == 0
        eventually(lambda: not service.running and not service.cookie_file.exists())
        with pytest.raises(ConnectionRefusedError):
            RpcClient(service).call("getblockcount")
        assert RpcClient(devnet.services[1]).call("getconnectioncount") == 0


def test_a_taken_port_undoes_the_start_of_the_other_nodes(tmp_path: Path) -> None:
    with Devnet(1, FEDERATION) as other:
        devnet = Devnet(2, FEDERATION, datadir=tmp_path, base_port=other.services[0].port - 1)
        with pytest.raises(OSError, match="in use"):
            devnet.start()
    assert not devnet.services
    assert not list(tmp_path.rglob(".cookie"))


def test_a_stopped_node_takes_the_same_port_again() -> None:
    with Devnet(1, FEDERATION) as devnet:
        port = devnet.services[0].port
        keep = RpcClient(devnet.services[0])
        keep.call("getblockcount")
        devnet.restart(0)
        assert devnet.services[0].port == port
        assert RpcClient(devnet.services[0]).call("getblockcount") == 0
        with pytest.raises((ConnectionError, OSError)):
            keep.call("getblockcount")


@pytest.mark.parametrize(
    ("request_text", "status", "reply"),
    [
        ('{"jsonrpc":"2.0","method":"getblockcount"}', 204, None),
        ('{"method":"getblockcount"}', 200, {"result": 0, "error": None}),
        ('[{"jsonrpc":"2.0","method":"getblockcount"}]', 204, None),
        ('{"jsonrpc":"2.0","id":7,"method":"getblockhash","params":[9]}', 200,
         {"jsonrpc": "2.0", "error": {"code": -8, "message": "Block height out of range"}, "id": 7}),
        ('{"jsonrpc":"3.0","id":1,"method":"x"}', 400,
         {"result": None, "error": {"code": -32600, "message": "JSON-RPC version not supported"}, "id": 1}),
        ('{"id":1}', 400, {"result": None, "error": {"code": -32600, "message": "Missing method"}, "id": 1}),
        ('{"id":1,"method":5}', 400,
         {"result": None, "error": {"code": -32600, "message": "Method must be a string"}, "id": 1}),
        ('{"id":1,"method":"getblockcount","params":"x"}', 400,
         {"result": None, "error": {"code": -32600, "message": "Params must be an array or object"}, "id": 1}),
        ('5', 500,
         {"result": None, "error": {"code": -32700, "message": "Top-level object parse error"}, "id": None}),
        ('{"id":1,"method":"getblockhash","params":{"args":[0]}}', 200, None),
        ('{"id":1,"method":"getblock","params":{"verbosity":0,"args":["00"]}}', 500,
         {"result": None, "id": 1,
          "error": {"code": -8, "message": "blockhash must be of length 64 (not 2, for '00')"}}),
        ('{"id":1,"method":"getblock","params":{"blockhash":"00","args":["00"]}}', 500,
         {"result": None, "id": 1, "error": {"code": -8, "message":
          "Parameter blockhash specified twice both as positional and named argument"}}),
    ],
)  # fmt: skip
def test_json_rpc_forms_are_answered_as_a_node_does(request_text: str, status: int, reply: Any) -> None:
    with Devnet(1, FEDERATION) as devnet:
        answer = RpcClient(devnet.services[0]).post(request_text)
    assert answer.status == status
    if status == 204:
        assert answer.body == b""
    elif reply is not None:
        assert json.loads(answer.body) == reply


def test_amounts_are_printed_with_eight_decimals() -> None:
    with Devnet(1, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        client.call("getblockcount")
        text = client.answer("getmempoolinfo").body.decode()
    assert '"total_fee":0.00000000' in text
    assert '"minrelaytxfee":0.00000100' in text


def test_a_node_without_wallet_support_does_not_know_wallet_methods() -> None:
    with Devnet(1, FEDERATION, rpc=RpcSettings(wallet_support=False)) as devnet:
        client = RpcClient(devnet.services[0])
        assert client.error("signblock", "00") == (-32601, "Method not found")
        assert client.error("listwallets") == (-32601, "Method not found")
        assert client.post("{}", "/wallet/w").status == 404


def test_a_node_with_wallet_support_has_no_wallet_loaded() -> None:
    with Devnet(1, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        assert client.call("listwallets") == []
        assert client.error("signblock", "00", "")[0] == -18


def test_help_lists_usage_lines_and_describes_one_method() -> None:
    with Devnet(1, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        lines = client.call("help").splitlines()
        assert 'submitblock "hexdata" ( "dummy" )' in lines
        assert client.call("help", "getblockcount").startswith("getblockcount\n\n")
        assert client.call("help", "nosuch") == "help: unknown command: nosuch"


def test_the_python_client_of_the_old_daemon_works() -> None:
    with Devnet(1, FEDERATION) as devnet:
        user, password = devnet.services[0].credentials
        proxy = AuthServiceProxy(f"http://{user}:{password}@127.0.0.1:{devnet.services[0].port}")
        block = proxy.getnewblockhex()
        assert proxy.testproposedblock(block) is None
        assert proxy.submitblock(block) == "block-proof-invalid"
        with pytest.raises(JSONRPCException) as caught:
            proxy.getblockhash(9)
        assert caught.value.code == -8


def test_a_body_that_is_too_large_or_has_no_length_is_refused() -> None:
    with Devnet(1, FEDERATION) as devnet:
        for length in (b"99999999999", b"-1", b"x"):
            with socket.create_connection(("127.0.0.1", devnet.services[0].port), timeout=20) as connection:
                connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 400"


def test_the_clock_of_a_node_can_be_set() -> None:
    with Devnet(1, FEDERATION) as devnet:
        client = RpcClient(devnet.services[0])
        client.call("setmocktime", 2_000_000_000)
        assert devnet.services[0].node.clock.now() == 2_000_000_000
        client.call("setmocktime", 0)
        assert devnet.services[0].node.clock.now() != 2_000_000_000
        assert client.error("setmocktime", -1)[0] == -8
