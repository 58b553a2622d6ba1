"""The members of a demo or test federation: keys, addresses, daemons in processes of their own."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fedsm.chains.script import Multisig
from fedsm.demo.links import Links
from fedsm.demo.nodes import NodeAddress
from fedsm.demo.process import LoggedProcess, LogLine
from signers.software import SoftwareSigner, write_key_file

WIF_PREFIX = 239


def demo_secrets(members: int, seed: str) -> list[bytes]:
    """Throw-away private keys that follow from a seed, so that a demo can be repeated."""
    return [hashlib.sha256(f"fedsm demo {seed} {i}".encode()).digest() for i in range(members)]


def multisig_of(secrets: list[bytes], threshold: int) -> Multisig:
    """The M-of-N script of these private keys."""
    return Multisig(threshold, tuple(SoftwareSigner(secret).public_key for secret in secrets))


@dataclass(frozen=True)
class HsmMember:
    """A member that signs by a token: the options that say where its key is, and variables for its module."""

    options: tuple[str, ...]
    environment: Mapping[str, str]


class Cast:
    """N daemons. What they log is kept by member and handed to ``on_line``.

    Members in ``hsms`` sign by a token that holds the key, all others by a key file.
    """

    def __init__(
        self,
        secrets: list[bytes],
        nodes: list[NodeAddress],
        directory: Path,
        interval_s: float,
        *,
        on_line: Callable[[int, LogLine], None] | None = None,
        links: Links | None = None,
        extra: tuple[str, ...] = (),
        http_ports: list[int] | None = None,
        hsms: Mapping[int, HsmMember] | None = None,
    ) -> None:
        self._links = links or Links("zmq", len(secrets))
        self.addresses = ",".join(self._links.addresses)
        self._changed = threading.Condition()
        self._lines: dict[int, list[LogLine]] = defaultdict(list)
        self._on_line = on_line
        self._directory = directory
        self._interval_s = interval_s
        self._extra = extra
        self._http_ports = http_ports
        self._hsms = hsms or {}
        self.daemons = [self._daemon(i, secret, nodes[i]) for i, secret in enumerate(secrets)]

    def _daemon(self, index: int, secret: bytes, node: NodeAddress) -> LoggedProcess:
        hsm = self._hsms.get(index)
        command = [
            sys.executable, "-m", "fedsm", "run",
            "--id", str(index),
            *self._links.arguments(index),
            "--rpcport", str(node.port),
            "--rpccookiefile", str(node.cookie_file),
            *(self._key_file(index, secret) if hsm is None else hsm.options),
            "--datadir", str(self._directory / f"member-{index}"),
            "--blocktime", str(self._interval_s),
            "--http", "off" if self._http_ports is None else str(self._http_ports[index]),
            "--log-format", "json",
            *self._extra,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FEDSM_")}
        if hsm is not None:
            environment.update(hsm.environment)
        return LoggedProcess(
            command,
            self._directory / f"member-{index}.log",
            lambda line: self._hear(index, line),
            environment,
        )

    def _key_file(self, index: int, secret: bytes) -> tuple[str, ...]:
        path = self._directory / f"member-{index}.key"
        write_key_file(path, secret, WIF_PREFIX)
        return "--key-file", str(path)

    def start(self) -> None:
        """Start all daemons."""
        for daemon in self.daemons:
            daemon.start()

    def close(self) -> None:
        """End all daemons."""
        for daemon in self.daemons:
            daemon.terminate()

    def lines(self, member: int, event: str | None = None) -> list[LogLine]:
        """What a member logged so far, all or the lines of one event."""
        with self._changed:
            return [line for line in self._lines[member] if event is None or line.get("event") == event]

    def wait_for(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Wait until ``condition`` holds, looking again at every log line. False if it never did in time."""
        end = time.monotonic() + limit_s
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
        return True

    def _hear(self, index: int, line: LogLine) -> None:
        with self._changed:
            self._lines[index].append(line)
            self._changed.notify_all()
        if self._on_line is not None:
            self._on_line(index, line)
