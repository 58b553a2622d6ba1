"""Stands between the engine and its trace, and tells the board and the meter of every step."""

from __future__ import annotations

from fedsm.clock import Clock
from fedsm.log import Logger
from fedsm.observe.board import Board
from fedsm.observe.meter import Meter
from fedsm.observe.path import moves_of
from fedsm.observe.status import ReissuanceStatus, ReissuedAsset
from fedsm.trace import Standing, Trace, Transition
from states.effects import Effect
from states.events import Event
from states.round import Round


class Observer:
    """A Trace around another one. What fails in here is logged once and observed no more: rounds go on."""

    def __init__(self, trace: Trace, board: Board, meter: Meter, clock: Clock, log: Logger) -> None:
        self._trace = trace
        self._board = board
        self._meter = meter
        self._clock = clock
        self._log = log
        self._failed = False

    def start(self) -> None:
        """The machines are about to begin."""
        self._trace.start()

    def close(self) -> None:
        """No more steps follow."""
        self._trace.close()

    def step(self, core: Round, event: Event) -> list[Effect]:
        """Have the machines take an event, and tell of it."""
        at_ms, before = self._clock.wall_ms(), Standing.of(core)
        effects = self._trace.step(core, event)
        if not self._failed:
            try:
                self._tell(Transition(at_ms, before, event, Standing.of(core), effects), core)
            except Exception:  # noqa: BLE001 - a fault of ours must cost the page and not the round
                self._failed = True
                self._log.exception("observation_failed")
        return effects

    def _tell(self, step: Transition, core: Round) -> None:
        moves = moves_of(step)
        closed = self._board.take(step, moves, core.slot_ms, _reissuance_of(core))
        self._meter.take(step, moves, self._clock.steady_ms(), closed)


def _reissuance_of(core: Round) -> ReissuanceStatus | None:
    reissuances = core.reissuances
    if reissuances is None:
        return None
    assets = (ReissuedAsset(asset, it.state, it.due_height) for asset, it in reissuances.machines.items())
    return ReissuanceStatus(reissuances.terms.period, reissuances.due_height, tuple(assets))
