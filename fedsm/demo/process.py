"""A child process whose standard error is JSON log lines: start it, listen to it, hurt it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LogLine = dict[str, Any]
STOP_S = 10.0


class LoggedProcess:
    """Runs ``command``; every log line goes to ``hear`` (in a reader thread) and to ``log_file``."""

    def __init__(
        self,
        command: Sequence[str],
        log_file: Path,
        hear: Callable[[LogLine], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._log_file = log_file
        self._hear = hear
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while running."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process (again)."""
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(signal.SIGKILL)
        self._wait()

    def terminate(self) -> None:
        """SIGTERM, and wait until it has ended; SIGKILL if that takes too long."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        self._wait()

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is None:
            return
        with self._log_file.open("ab") as log:
            for raw in process.stderr:
                log.write(raw)
                log.flush()
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue  # a traceback or a library's warning: it stands in the file
                if isinstance(line, dict):
                    self._hear(line)
