"""fedsm status: what a running daemon serves, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedsm.demo.ports import free_ports
from fedsm.web.server import serving
from fedsm.web.settings import HttpSettings
from tests.unit.cli_runner import CommandLine
from tests.unit.log_lines import LogLines
from tests.unit.test_observe import Machines, cluster

TOKEN = "correct-horse-battery"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


@pytest.fixture
def daemon() -> Iterator[tuple[Machines, str]]:
    """A member that has seen another one crash, served, and its address."""
    made, machines = cluster()
    made.run_until_height(3)
    made.members[2].crash()
    made.run_until_height(12)
    port = free_ports(1)[0]
    with serving(HttpSettings(port=port), 0, machines[0].station, LogLines().log):
        yield machines[0], f"127.0.0.1:{port}"


def test_people_see_members_blocks_and_what_is_wrong(command: CommandLine, daemon: tuple[Machines, str]) -> None:
    machines, address = daemon
    result = command.invoke("status", "--http", address)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["3-of-5,", "Q", "=", "3,", "a", "block", "every", "1", "s"] in lines
    (down,) = [line for line in lines if line[:2] == ["2", "down"]]
    assert down[2] == "Idle"
    last = machines.status.blocks[-1]
    assert [str(last.height), last.hash[:16]] in [line[:2] for line in lines]
    assert any(line[1:2] == ["round_failed,"] for line in lines)


def test_scripts_get_the_document_and_an_exit_status(
    command: CommandLine, daemon: tuple[Machines, str], tmp_path: Path
) -> None:
    machines, address = daemon
    config = tmp_path / "fedsm.toml"
    config.write_text(f'id = 0\nhttp = "{address}"\nkey-file = "k"\n')
    result = command.invoke("status", "--config", str(config), "--json")
    assert (result.exit_code, json.loads(result.output)["height"]) == (0, machines.core.height)
    machines.node_trouble = "no connection"
    result = command.invoke("status", "--config", str(config), "--wait", "0.3")
    assert result.exit_code == 1
    assert "FAIL node: no connection" in result.output


def test_a_token_is_sent_and_its_lack_is_told_in_a_line(command: CommandLine) -> None:
    _, machines = cluster()
    port = free_ports(1)[0]
    with serving(HttpSettings(port=port, token=TOKEN), 0, machines[0].station, LogLines().log):
        assert "--http-token-file" in command.refusal("status", "--http", str(port))
        assert command.invoke("status", "--http", str(port), FEDSM_HTTP_TOKEN=TOKEN).exit_code == 1, "not ready yet"
        assert "not ready" in command.output


@pytest.mark.parametrize(
    ("text", "named"),
    [('http = "off"', "serves no status"), ("http = 70000", "70000"), ("id = ", "fedsm.toml")],
)
def test_a_configuration_that_leads_nowhere_is_named(
    command: CommandLine, tmp_path: Path, text: str, named: str
) -> None:
    config = tmp_path / "fedsm.toml"
    config.write_text(text)
    assert named in command.refusal("status", "--config", str(config))


def test_no_daemon_is_one_line(command: CommandLine) -> None:
    port = free_ports(1)[0]
    assert f"no daemon answers at 127.0.0.1:{port}" in command.refusal("status", "--http", str(port))
