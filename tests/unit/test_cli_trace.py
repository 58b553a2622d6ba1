"""fedsm run's options about the trace, and where a daemon's trace goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedsm.config import DaemonConfig, NodeAccess
from fedsm.trace import TraceSettings, configuration_digest
from tests.unit.cli_runner import NODES, CommandLine

MINIMAL = ("--id", "1", "--nodes", NODES)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


def test_a_trace_is_kept_below_the_data_directory_unless_told_otherwise(command: CommandLine) -> None:
    assert command.config(*MINIMAL).trace == TraceSettings(None, 16_000_000, 1_000_000_000)
    assert command.config(*MINIMAL, "--no-trace").trace is None


def test_every_option_of_the_trace_reaches_the_daemon(command: CommandLine, tmp_path: Path) -> None:
    flags = ("--trace", str(tmp_path), "--trace-size", "60", "--trace-file-size", "10")
    wanted = TraceSettings(tmp_path, 10_000_000, 60_000_000)
    assert command.config(*MINIMAL, *flags).trace == wanted
    file = tmp_path / "fedsm.toml"
    file.write_text(f'trace = "{tmp_path}"\ntrace-size = 60\ntrace-file-size = 10\n', encoding="utf-8")
    assert command.config(*MINIMAL, "--config", str(file)).trace == wanted
    assert command.config(*MINIMAL, FEDSM_NO_TRACE="1").trace is None


def test_options_that_contradict_each_other_are_refused(command: CommandLine) -> None:
    assert "--trace and --no-trace" in command.refusal(*MINIMAL, "--trace", "there", "--no-trace")
    assert "six times" in command.refusal(*MINIMAL, "--trace-size", "59", "--trace-file-size", "10")
    assert "--trace-size" in command.usage("run", *MINIMAL, "--trace-size", "0")


def test_the_configuration_digest_tells_settings_apart_and_no_secrets() -> None:
    config = DaemonConfig(1, NODES, NodeAccess(user="alice", password="hunter2"))
    digest = configuration_digest(config)
    assert configuration_digest(replace(config, interval_ms=1000)) != digest
    assert configuration_digest(replace(config, node=NodeAccess(user="alice", password="hunter3"))) == digest
