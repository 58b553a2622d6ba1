"""Records what a member's machines do, beside them: the engine hands over each step and never waits.

Steps wait in a bounded queue for a thread that writes them. When that falls behind, or the disk takes no more,
steps are dropped and counted; once there is room again the trace goes on in a new file that says how many are
missing and begins with the memory of the machines.
"""

from __future__ import annotations

from typing import Protocol

from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.trace import memory
from fedsm.trace.lines import Standing
from fedsm.trace.sheet import Transition
from fedsm.trace.writer import NewFile, Writer
from states.effects import Effect
from states.events import Event, TipChanged
from states.round import Round

# After a failure the disk is left alone for a while.
RETRY_MS = 10_000


class Trace(Protocol):
    """What the engine needs: it has its machines take every event through ``step``."""

    def start(self) -> None:
        """The machines, new ones, are about to begin."""

    def step(self, core: Round, event: Event) -> list[Effect]:
        """Have the machines take an event; returns their effects."""

    def close(self) -> None:
        """No more steps follow."""


class Untraced:
    """Records nothing."""

    def start(self) -> None:
        """Nothing to do."""

    def step(self, core: Round, event: Event) -> list[Effect]:
        """The machines take the event."""
        return core.step(event)

    def close(self) -> None:
        """Nothing to do."""


UNTRACED: Trace = Untraced()


class Recorder:
    """A Trace that hands every step to a writer."""

    def __init__(self, writer: Writer, clock: Clock, log: Logger) -> None:
        self._writer = writer
        self._clock = clock
        self._log = log
        self._lost = 0
        self._interruption = ""  # why steps are not handed over just now
        self._retry_at_ms = 0
        self._failures_seen = 0
        self._gave_up = False

    def start(self) -> None:
        """Begin a file. FedsmError when the folder cannot be used."""
        self._writer.start()

    def close(self) -> None:
        """Have everything written that waits; returns after some seconds even if that did not succeed."""
        self._writer.close(self._lost, self._interruption)

    def step(self, core: Round, event: Event) -> list[Effect]:
        """Have the machines take an event, and hand the step over."""
        self._prepare(core, event)
        at_ms, before = self._clock.wall_ms(), Standing.of(core)
        try:
            effects = core.step(event)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            self._hand_over(Transition(at_ms, before, event, Standing.of(core), [], failure))
            raise
        self._hand_over(Transition(at_ms, before, event, Standing.of(core), effects))
        return effects

    def _prepare(self, core: Round, event: Event) -> None:
        """Begin a new file if it is time to, while the machines stand as they do before this step."""
        writer = self._writer
        if writer.failures != self._failures_seen:
            self._failures_seen = writer.failures
            self._interrupt(writer.last_failure, RETRY_MS)  # which the writer has told
        if self._gave_up:
            return
        if self._interruption:
            if writer.is_idle and self._clock.steady_ms() >= self._retry_at_ms:
                self._begin_file(core)
        elif writer.is_overdue or (writer.is_full and isinstance(event, TipChanged)):
            self._begin_file(core)

    def _begin_file(self, core: Round) -> None:
        try:
            machine = memory.take(core)
        except Exception as error:  # noqa: BLE001 - the daemon must go on, whatever is wrong with its trace
            self._gave_up = True
            self._interrupt(str(error), 0)
            self._log.error("trace_not_written", detail=str(error))
            return
        self._writer.put_file(NewFile(self._clock.wall_ms(), machine, self._lost, self._interruption))
        self._lost, self._interruption = 0, ""

    def _hand_over(self, transition: Transition) -> None:
        if not self._interruption and not self._writer.put(transition):
            self._interrupt("writing fell behind", 0)
            self._log.warning("trace_interrupted", detail=self._interruption)
        if self._interruption:
            self._lost += 1

    def _interrupt(self, reason: str, pause_ms: int) -> None:
        self._interruption = reason
        self._retry_at_ms = self._clock.steady_ms() + pause_ms
