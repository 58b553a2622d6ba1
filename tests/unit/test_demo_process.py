"""The demo's real processes and nodes: heard, hurt, and told clearly when they do not start."""

from __future__ import annotations

import json
import queue
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from fedsm.demo import nodes as nodes_module
from fedsm.demo import ports as ports_module
from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.nodes import DevnetNodes, ElementsNodes, NodeAddress, find_elementsd
from fedsm.demo.ports import EPHEMERAL_RANGE, FEWEST, LOWEST, free_ports
from fedsm.demo.process import LoggedProcess
from fedsm.errors import FedsmError
from signers.software import SoftwareSigner, load_key
from tests.unit.cli_runner import CommandLine

LIMIT_S = 30
TALK = """
import json, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print(json.dumps({"event": "started"}), file=sys.stderr)
print("a library's warning", file=sys.stderr)
print('"JSON, but no line of a log"', file=sys.stderr)
print(json.dumps({"event": "ready"}), file=sys.stderr, flush=True)
signal.sigwait([signal.SIGUSR1])
print(json.dumps({"event": "stopped"}), file=sys.stderr, flush=True)
sys.exit(3)
"""
MULTISIG = multisig_of(demo_secrets(3, "1"), 2)


class Talking:
    """A process that logs, waits for SIGUSR1, logs again and ends with status 3."""

    def __init__(self, directory: Path) -> None:
        self.heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.log_file = directory / "process.log"
        command = [sys.executable, "-I", "-c", TALK]
        self.process = LoggedProcess(command, self.log_file, self.heard.put)

    def hear(self, event: str) -> None:
        assert self.heard.get(timeout=LIMIT_S) == {"event": event}


@pytest.fixture
def talking(tmp_path: Path) -> Talking:
    return Talking(tmp_path)


def test_log_lines_are_heard_and_everything_stands_in_the_file(talking: Talking) -> None:
    process = talking.process
    assert (process.running, process.exit_status, process.pid) == (False, None, 0)
    process.start()
    talking.hear("started")
    talking.hear("ready")
    assert process.running
    assert process.pid > 0
    process.send(signal.SIGUSR1)
    talking.hear("stopped")
    assert process._process is not None
    process._process.wait(LIMIT_S)
    assert (process.running, process.exit_status) == (False, 3)
    assert "a library's warning" in talking.log_file.read_text(encoding="utf-8")


def test_a_killed_process_is_gone_and_may_be_started_again(talking: Talking) -> None:
    process = talking.process
    process.start()
    talking.hear("started")
    talking.hear("ready")
    process.kill()
    assert process.exit_status == -signal.SIGKILL
    process.kill()  # it is gone already
    process.start()
    talking.hear("started")
    process.terminate()
    assert process.exit_status == -signal.SIGTERM


def test_a_stopped_process_can_be_ended(talking: Talking) -> None:
    talking.process.start()
    talking.hear("started")
    talking.process.send(signal.SIGSTOP)
    talking.process.terminate()
    assert not talking.process.running


def test_what_was_never_started_may_be_ended(talking: Talking) -> None:
    talking.process.terminate()
    talking.process.kill()
    assert talking.process.exit_status is None


# Keys and commands


def test_the_keys_of_a_demo_follow_from_its_seed() -> None:
    assert demo_secrets(3, "1") == demo_secrets(5, "1")[:3]
    assert not set(demo_secrets(3, "1")) & set(demo_secrets(3, "2"))
    assert [SoftwareSigner(secret).public_key for secret in demo_secrets(3, "1")] == list(MULTISIG.public_keys)


def test_each_member_gets_its_key_its_node_and_the_addresses_of_all(tmp_path: Path) -> None:
    addresses = [NodeAddress(7000 + i, tmp_path / f"cookie-{i}") for i in range(3)]
    cast = Cast(demo_secrets(3, "1"), addresses, tmp_path, 0.5, extra=("--quorum", "3"))
    assert len(set(cast.addresses.split(","))) == 3
    for member, daemon in enumerate(cast.daemons):
        key_file = tmp_path / f"member-{member}.key"
        assert load_key(key_file) == demo_secrets(3, "1")[member]
        command = daemon._command
        for flag, value in (
            ("--id", str(member)), ("--nodes", cast.addresses), ("--rpcport", str(7000 + member)),
            ("--key-file", str(key_file)), ("--blocktime", "0.5"), ("--quorum", "3"),
        ):  # fmt: skip
            assert command[command.index(flag) + 1] == value


def test_what_members_log_is_kept_by_member_and_event(tmp_path: Path) -> None:
    heard: list[tuple[int, dict[str, Any]]] = []
    addresses = [NodeAddress(7000 + i, tmp_path / "cookie") for i in range(3)]
    cast = Cast(demo_secrets(3, "1"), addresses, tmp_path, 1, on_line=lambda i, line: heard.append((i, line)))
    cast._hear(1, {"event": "started"})
    cast._hear(1, {"event": "tip", "height": 4})
    assert cast.lines(1) == [{"event": "started"}, {"event": "tip", "height": 4}]
    assert cast.lines(1, "tip") == [{"event": "tip", "height": 4}]
    assert cast.lines(0) == []
    assert [member for member, _ in heard] == [1, 1]
    assert cast.wait_for(lambda: bool(cast.lines(1, "tip")), LIMIT_S)
    assert not cast.wait_for(lambda: False, 0)


def test_free_ports_are_different_and_none_that_the_kernel_may_give_to_an_outgoing_connection() -> None:
    ports = free_ports(20)
    begin, end = map(int, EPHEMERAL_RANGE.read_text(encoding="ascii").split())
    assert len(set(ports) | set(free_ports(20))) == 40
    assert begin < LOWEST + FEWEST or not any(begin <= port <= end for port in ports)


def test_a_port_that_is_taken_is_passed_over_and_none_left_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken, (free,) = server.getsockname()[1], free_ports(1)
        walk = iter([taken, free, taken])
        monkeypatch.setattr(ports_module, "_walk", lambda: walk)
        assert free_ports(1) == [free]
        with pytest.raises(OSError, match="no free port"):
            free_ports(1)


# Nodes that cannot be had


def test_elementsd_is_the_one_named_or_the_one_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELEMENTSD", "/opt/elementsd")
    assert find_elementsd() == "/opt/elementsd"
    monkeypatch.delenv("ELEMENTSD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_elementsd() is None
    with pytest.raises(FedsmError, match="put it on PATH or name it in the variable ELEMENTSD"):
        ElementsNodes(MULTISIG, tmp_path, dynafed=True)


def test_a_node_that_ends_at_once_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELEMENTSD", "/bin/false")
    elements = ElementsNodes(MULTISIG, tmp_path, dynafed=True)
    try:
        with pytest.raises(FedsmError, match="elementsd node 0 did not start"):
            elements.start()
    finally:
        elements.close()


@pytest.mark.parametrize("said", ["", "no JSON", json.dumps({"other": 1})])
def test_a_devnet_that_does_not_tell_its_nodes_is_told(tmp_path: Path, said: str) -> None:
    devnet = DevnetNodes(MULTISIG, tmp_path, dynafed=True)
    devnet._command = ["/bin/echo", said]
    try:
        with pytest.raises(FedsmError, match="the devnet did not start"):
            devnet.start()
    finally:
        devnet.close()


def test_the_devnet_tells_each_nodes_port_and_cookie(tmp_path: Path) -> None:
    devnet = DevnetNodes(MULTISIG, tmp_path, dynafed=False)
    assert "--no-dynafed" in devnet._command
    devnet._command = ["/bin/echo", json.dumps({"nodes": [{"port": 7001, "cookie": "a/.cookie"}]})]
    devnet.start()
    devnet.close()
    assert devnet.addresses == [NodeAddress(7001, Path("a/.cookie"))]


# The command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


def test_the_demo_refuses_a_federation_that_cannot_be(command: CommandLine) -> None:
    assert "--threshold: 4 of 3 keys" in command.refusal("demo", "--members", "3", "--threshold", "4")


def test_the_demo_refuses_a_directory_that_holds_something(command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    assert f"--workdir {tmp_path} is not empty" in command.refusal("demo", "--workdir", str(tmp_path))


def test_the_demo_without_elementsd_says_where_to_put_it(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes_module, "find_elementsd", lambda: None)
    assert "no elementsd" in command.refusal("demo", "--node", "elementsd")
