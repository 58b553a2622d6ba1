"""The web server beside the daemon: what it answers, whom it refuses, and that it never stops a member."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from fedsm.clock import SystemClock
from fedsm.config import DaemonConfig
from fedsm.demo.ports import free_ports
from fedsm.errors import FedsmError
from fedsm.observe.station import Station
from fedsm.observe.status import HeightDetail, Status
from fedsm.web.app import MAX_LISTENERS
from fedsm.web.server import serving
from fedsm.web.settings import DEFAULT_PORT, HttpSettings, load_token, parse_http
from states.table import ROUND
from tests.unit.cli_runner import NODES, CommandLine
from tests.unit.log_lines import LogLines
from tests.unit.test_observe import cluster

MINIMAL = ("--id", "1", "--nodes", NODES)
TOKEN = "correct-horse-battery"


class Server:
    """A web server of a daemon that waits for its node."""

    def __init__(self, **settings: Any) -> None:
        self.logs = LogLines()
        self.port = free_ports(1)[0]
        self.station = Station(1, SystemClock(), self.logs.log)
        self.settings = HttpSettings(port=self.port, **settings)

    def ask_events(self) -> int:
        """The status with which a follower is answered; it goes away again."""
        follower = Follower(self)
        follower.connection.close()
        return follower.answer.status

    def ask(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with serving(server.settings, 1, server.station, server.logs.log):
        yield server


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


def test_a_daemon_that_waits_for_its_node_is_live_and_not_ready_and_says_why(server: Server) -> None:
    server.station.waiting("no connection")
    assert server.ask("/live")[:2] == (200, b"live\n")
    assert server.ask("/ready")[:2] == (503, b"FAIL node: waiting for the node: no connection\n")
    code, body, headers = server.ask("/status.json")
    assert (code, headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(body, type=Status).phase == "waiting"
    assert server.ask("/metrics")[1].count(b"\nfedsm_ready 0.0\n") == 1
    assert server.ask("/nothing")[0] == 404


def test_a_hanging_engine_is_not_live(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.station, "is_alive", lambda: False)
    assert server.ask("/live")[0] == 503


def test_answers_forbid_framing_foreign_content_and_keeping(server: Server) -> None:
    headers = server.ask("/live")[2]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("host", "status"), [("evil.example", 421), ("localhost:9", 200), ("[::1]:9", 200)])
def test_a_page_of_another_site_cannot_read_a_loopback_server(server: Server, host: str, status: int) -> None:
    assert server.ask("/status.json", host=host)[0] == status


def test_a_token_is_asked_for_by_all_but_live() -> None:
    server = Server(token=TOKEN)
    with serving(server.settings, 1, server.station, server.logs.log):
        assert server.ask("/live")[0] == 200
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            assert [server.ask(path, **wrong)[0] for path in ("/ready", "/metrics", "/status.json")] == [401] * 3
        assert server.ask("/status.json", authorization=f"Bearer {TOKEN}")[0] == 200
    assert TOKEN not in str(server.logs.lines)


def test_a_port_that_was_asked_for_and_is_in_use_ends_with_one_line() -> None:
    server = Server()
    with (
        socket.create_server(("127.0.0.1", server.port)),
        pytest.raises(FedsmError, match=f"127.0.0.1:{server.port}.*in use.*--http off") as refused,
        serving(server.settings, 1, server.station, server.logs.log),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_a_default_port_in_use_is_only_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr("fedsm.web.settings.DEFAULT_PORT", server.port - 1)
    with (
        socket.create_server(("127.0.0.1", server.port)),
        serving(HttpSettings(), 1, server.station, server.logs.log),
    ):
        pass
    (line,) = server.logs.of("http_not_served")
    assert str(server.port) in line["detail"]


# The page


class Follower:
    """A connection that follows the events."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self.connection.request("GET", "/events")
        self.answer = self.connection.getresponse()

    def next(self) -> Status:
        line = self.answer.readline()
        assert self.answer.readline() == b"\n"
        return msgspec.json.decode(line.removeprefix(b"data: "), type=Status)


def test_the_page_is_small_and_whole(server: Server) -> None:
    code, index, headers = server.ask("/")
    assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:href|src)="((?!data:|#)[^"]+)"', index.decode())
    assert {"page.css", "page.js", "draw.js"} <= set(named)
    bodies = [server.ask(f"/{name}")[:2] for name in named if name != "ready"]
    assert all(code == 200 for code, _ in bodies)
    assert len(index) + sum(len(body) for _, body in bodies) < 150_000
    assert server.ask("/index.html")[0] == server.ask("/..%2fapp.py")[0] == 404


def test_events_tell_the_status_again_and_again(server: Server) -> None:
    follower = Follower(server)
    assert follower.answer.getheader("content-type", "").startswith("text/event-stream")
    server.station.waiting("no connection")
    while follower.next().checks[0].detail != "waiting for the node: no connection":
        pass


def test_a_server_with_followers_closes_at_once_and_without_a_fault() -> None:
    server = Server()
    with serving(server.settings, 1, server.station, server.logs.log):
        follower = Follower(server)
        follower.next()
    while follower.answer.readline():
        pass
    assert server.logs.of("http_fault") == []


def test_no_more_pages_follow_than_a_daemon_can_serve(server: Server) -> None:
    followers = [Follower(server) for _ in range(MAX_LISTENERS)]
    for follower in followers:
        follower.next()
    assert server.ask("/events")[0] == 503
    assert server.ask("/status.json")[0] == 200
    followers.pop().connection.close()
    while (code := server.ask_events()) == 503:
        pass
    assert code == 200


def test_the_diagram_has_every_edge_of_the_table(server: Server) -> None:
    drawn = msgspec.json.decode(server.ask("/diagram.json")[1])
    assert tuple(drawn["states"]) == ROUND.states
    wanted = {(edge.source, edge.dest) for edge in ROUND.edges if edge.dest not in (None, edge.source)}
    assert {(edge["source"], edge["dest"]) for edge in drawn["edges"]} == wanted
    assert len(drawn["edges"]) == len(wanted)


def test_a_height_is_explained_with_each_message_and_why_a_round_failed() -> None:
    made, machines = cluster()
    made.run_until_height(3)
    made.members[2].crash()
    made.run_until_height(9)
    server = Server()
    with serving(server.settings, 0, machines[0].station, server.logs.log):
        # The proposer of height 7 is down.
        detail = msgspec.json.decode(server.ask("/heights/7.json")[1], type=HeightDetail)
        assert server.ask("/heights/70.json")[0] == server.ask("/heights/x.json")[0] == 404
    rounds = [(it.round, it.proposer, it.failed_at_ms is None) for it in detail.rounds]
    assert rounds == [(0, 2, False), (1, 3, True)]
    assert any("The round failed" in line and "no proposal of member 2" in line for line in detail.story)
    said = [(message.kind, message.member) for message in detail.rounds[1].messages]
    assert said[0] == ("proposal", 3)
    assert sorted(said[1:]) == [(kind, member) for kind in ("precommit", "prevote") for member in (0, 1, 3, 4)]
    times = [message.at_ms for message in detail.rounds[1].messages]
    assert times == sorted(times)
    assert {message.member for message in detail.signatures} == {0, 1, 3, 4}


def test_a_browser_shows_the_token_once_and_a_cookie_from_then_on() -> None:
    server = Server(token=TOKEN)
    with serving(server.settings, 1, server.station, server.logs.log):
        assert server.ask("/")[0] == server.ask("/?token=wrong")[0] == server.ask("/events")[0] == 401
        assert b"/?token=TOKEN" in server.ask("/")[1]
        code, _, headers = server.ask(f"/?token={TOKEN}")
        assert (code, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert server.ask("/", cookie=cookie.partition(";")[0])[0] == 200
        assert server.ask("/status.json", cookie="fedsm=" + "0" * 64)[0] == 401


# Flags


def test_members_on_one_machine_get_different_default_ports() -> None:
    assert [HttpSettings().port_of(member) for member in (0, 2)] == [DEFAULT_PORT, DEFAULT_PORT + 2]


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [("127.0.0.1:9000", HttpSettings("127.0.0.1", 9000)), ("9000", HttpSettings("127.0.0.1", 9000)),
     (":9000", HttpSettings("127.0.0.1", 9000)), ("[::1]:9000", HttpSettings("::1", 9000)),
     ("localhost:9000", HttpSettings("localhost", 9000)), ("off", None)],
)  # fmt: skip
def test_an_address_is_taken_in_every_usual_form(
    command: CommandLine, flag: str, wanted: HttpSettings | None
) -> None:
    assert command.config(*MINIMAL, "--http", flag) == DaemonConfig(member=1, nodes=NODES, http=wanted)


@pytest.mark.parametrize("flag", ["", "here", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:0", "a:-1"])
def test_an_address_that_is_none_is_refused(command: CommandLine, flag: str) -> None:
    assert command.refusal(*MINIMAL, "--http", flag).startswith(f"--http {flag}")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.1.2.3", "monitor.example"])  # noqa: S104
def test_listening_beyond_this_machine_needs_a_token_and_says_so(
    command: CommandLine, host: str, tmp_path: Path
) -> None:
    line = command.refusal(*MINIMAL, "--http", f"{host}:9000")
    assert "--http-token-file" in line
    assert "FEDSM_HTTP_TOKEN" in line
    config = command.config(*MINIMAL, "--http", f"{host}:9000", FEDSM_HTTP_TOKEN=TOKEN)
    assert cast(HttpSettings, config.http).token == TOKEN
    assert TOKEN not in repr(config)
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    config = command.config(*MINIMAL, "--http", f"{host}:9000", "--http-token-file", str(file))
    assert cast(HttpSettings, config.http).token == TOKEN


def test_a_token_that_others_can_read_or_guess_is_refused_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with pytest.raises(FedsmError, match="chmod 600"):
        load_token(file)
    file.chmod(0o600)
    file.write_text("hunter2")
    with pytest.raises(FedsmError, match="at least 16") as refused:
        load_token(file)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(FedsmError, match="No such file"):
        load_token(tmp_path / "none")


def test_off_needs_nothing() -> None:
    assert parse_http("off", None) is None
    with serving(None, 1, cast(Station, SimpleNamespace()), LogLines().log):
        pass
