"""Runs commands in this process, with a daemon that only takes note of what it was told."""

from __future__ import annotations

import importlib
import os
import signal

import pytest
import structlog
from click.testing import CliRunner, Result

from fedsm.cli import cli
from fedsm.config import DaemonConfig
from fedsm.errors import FedsmError

NODES = "127.0.0.1:1501,127.0.0.1:1502,127.0.0.1:1503"
ACCESS = ("--rpcuser", "alice", "--rpcpassword", "hunter2")


class CommandLine:
    """The fedsm command, its daemons replaced; ``configs`` are what they were started with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.configs: list[DaemonConfig] = []
        self.output = ""
        configs = self.configs

        class NotingDaemon:
            def __init__(self, config: DaemonConfig) -> None:
                configs.append(config)

            def run(self) -> None:
                """There is no node here."""

            def since_pulse_ms(self) -> int:
                """It never hangs."""
                return 0

        # The module: its name in the package is taken by the command.
        monkeypatch.setattr(importlib.import_module("fedsm.cli.run"), "Daemon", NotingDaemon)
        # The test runner keeps its own signal handlers.
        monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
        for name in [name for name in os.environ if name.startswith("FEDSM_")]:
            monkeypatch.delenv(name)

    def invoke(self, *arguments: str, data: bytes | None = None, **environment: str) -> Result:
        result = CliRunner().invoke(cli, list(arguments), input=data, env=environment)
        structlog.reset_defaults()  # the command logs to a stream that is closed now
        self.output = result.output
        return result

    def config(self, *arguments: str, **environment: str) -> DaemonConfig:
        """What the daemon of a command line that is accepted is told."""
        result = self.invoke(*arguments, **environment)
        assert result.exit_code == 0, (result.output, result.exception)
        return self.configs[-1]

    def refusal(self, *arguments: str, **environment: str) -> str:
        """The line for which a command ends with status 1."""
        result = self.invoke(*arguments, **environment)
        assert isinstance(result.exception, FedsmError), (result.output, result.exception)
        line = str(result.exception)
        assert "\n" not in line
        return line

    def usage(self, *arguments: str, **environment: str) -> str:
        """What a command that is refused as misused (status 2) says."""
        result = self.invoke(*arguments, **environment)
        assert result.exit_code == 2, (result.output, result.exception)
        return result.stderr.splitlines()[-1]
