"""A simulated federation one member of which keeps a trace, as a daemon does: same recorder, writer and files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from fedsm.clock import Clock
from fedsm.simulator.cluster import Cluster
from fedsm.simulator.member import Member
from fedsm.trace import UNTRACED, Origin, Trace, TraceSettings, files_of, open_trace
from fedsm.trace.files import open_file
from fedsm.version import __version__
from states.effects import Effect
from states.events import Event
from states.round import Round
from tests.unit.log_lines import LogLines

LIMIT_S = 30.0


class HasTime(Protocol):
    now_ms: int


class VirtualClock:
    """Simulated time on both clocks."""

    def __init__(self, timeline: HasTime) -> None:
        self._timeline = timeline

    def wall_ms(self) -> int:
        return self._timeline.now_ms

    def steady_ms(self) -> int:
        return self._timeline.now_ms


class Counted:
    """A trace that counts the steps of the present life of the machines."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.steps = 0

    def start(self) -> None:
        self.steps = 0
        self._trace.start()

    def step(self, core: Round, event: Event) -> list[Effect]:
        self.steps += 1
        return self._trace.step(core, event)

    def close(self) -> None:
        self._trace.close()


class Recording:
    """A cluster and the trace of its member 0, in ``directory``. A context manager: the trace ends with it."""

    def __init__(self, directory: Path, n: int = 3, m: int = 2, settings: TraceSettings | None = None) -> None:
        self.directory = directory
        self.settings = replace(settings or TraceSettings(), directory=directory)
        self._on_disk: dict[str, tuple[int, int]] = {}  # size and steps by file, whether it is still there or not
        self.cluster = Cluster(n, m)
        self.logs = LogLines()
        self.trace = Counted(UNTRACED)

    @property
    def member(self) -> Member:
        return self.cluster.members[0]

    @property
    def steps(self) -> int:
        """How many steps the present life of the machines has taken."""
        return self.trace.steps

    def __enter__(self) -> Recording:
        self.restart()
        for member in self.cluster.members[1:]:
            member.tell_tip()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self.trace.close()

    def restart(self, *, killed: bool = False) -> None:
        """Start the member, again with a new trace; ``killed``: nobody closes the old one."""
        if not killed:
            self.trace.close()
        clock: Clock = VirtualClock(self.cluster)
        settings = self.cluster.settings(0)
        origin = Origin(__version__, "ab" * 32, "", "cd" * 32, "ef" * 32, settings)
        self.trace = Counted(open_trace(self.settings, self.directory, origin, clock, self.logs.log))
        self.member.trace = self.trace
        self.cluster.restart(0)

    def grow(self, blocks: int) -> None:
        """Let the chain grow, and have everything written after each block."""
        for _ in range(blocks):
            self.cluster.run_until_height(max(member.height for member in self.cluster.members) + 1)
            self.wait_written()

    def wait_written(self) -> None:
        """Wait until all steps of this life are on disk."""
        wait_until(self._is_written)

    def _is_written(self) -> bool:
        try:
            for file in files_of(self.directory):
                name, size = file.name.removesuffix(".gz"), file.stat().st_size
                if self._on_disk.get(name, (-1, 0))[0] != size:
                    self._on_disk[name] = size, _kinds(file).count("step")
        except FileNotFoundError:  # removed just now
            return False
        return sum(steps for _, steps in self._on_disk.values()) >= self.steps


def record(directory: Path, blocks: int = 2) -> Path:
    """The trace of a member of 2-of-3 over so many blocks: one file, closed in order."""
    with Recording(directory) as recording:
        recording.grow(blocks)
    (file,) = files_of(directory)
    return file


def lines_on_disk(directory: Path) -> list[str]:
    """The kinds of all complete lines, in order, of files in both forms."""
    return [kind for file in files_of(directory) for kind in _kinds(file)]


def _kinds(file: Path) -> list[str]:
    with open_file(file) as text:
        return [json.loads(line)["line"] for line in text if line.endswith(b"\n")]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


def resealed(lines: list[bytes]) -> bytes:
    """Lines with their numbers and hashes made to fit, as a forger would leave them."""
    text, prev = b"", "0" * 64
    for n, line in enumerate(lines, 1):
        sealed = json.dumps({**json.loads(line), "prev": prev, "n": n}, separators=(",", ":")).encode()
        prev = hashlib.sha256(sealed).hexdigest()
        text += sealed + b"\n"
    return text
