"""Traces of simulated members, as their daemons would have written them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from fedsm.simulator.disk import CHAIN
from fedsm.trace import Origin, Standing, Transition
from fedsm.trace.files import file_name
from fedsm.trace.sheet import Sheet
from fedsm.version import __version__
from states.effects import Effect
from states.events import Event
from states.round import Round


class Recording:
    """A Trace of one member, in memory until it is written; each life of the member is a file of it.

    ``wall_ms`` is the member's clock.
    """

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._sheets: list[Sheet] = []
        self._is_new_life = True

    def start(self) -> None:
        """New machines begin."""
        self._is_new_life = True

    def step(self, core: Round, event: Event) -> list[Effect]:
        """Have the machines take an event, and keep the step."""
        if self._is_new_life:
            self._begin_file(core)
        sheet, at_ms, before = self._sheets[-1], self._wall_ms(), Standing.of(core)
        try:
            effects = core.step(event)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
            sheet.step(Transition(at_ms, before, event, Standing.of(core), [], failure))
            raise
        sheet.step(Transition(at_ms, before, event, Standing.of(core), effects))
        return effects

    def close(self) -> None:
        """Nothing more follows: a process that crashes does not say so."""

    def write(self, directory: Path) -> None:
        """Write the files into a folder, which is made. OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        for number, sheet in enumerate(self._sheets, 1):
            (directory / file_name(number)).write_bytes(sheet.take())

    def _begin_file(self, core: Round) -> None:
        quorum = core.settings.quorum
        script = hashlib.sha256(f"{quorum.threshold}-of-{quorum.members}".encode()).hexdigest()
        sheet = Sheet(self._sheets[-1].mark.digest) if self._sheets else Sheet()
        origin = Origin(__version__, CHAIN, "", script, "", core.settings)
        self._sheets.append(sheet)
        sheet.header(origin, len(self._sheets), self._wall_ms(), new=True)
        self._is_new_life = False
