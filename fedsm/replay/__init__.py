"""Replay: whether the machines do again, bit for bit, what a trace says they did."""

from __future__ import annotations

from pathlib import Path

from fedsm.replay.player import Player, ReplayError
from fedsm.replay.stock import Replayed
from fedsm.trace import Header, Place, TraceError, files_of, read
from states.round import Round

__all__ = ["Player", "ReplayError", "Replayed", "replay", "replay_until"]


def replay(path: Path, *, any_tables: bool = False) -> Replayed:
    """Replay a whole trace. TraceError names the first line that is wrong or missing, or where the machines differ.

    With ``any_tables`` a trace of other state tables is followed too, as far as ours do the same.
    """
    player, replayed = Player(any_tables=any_tables), Replayed()
    for place, item in read(path):
        player.take(place, item)
        replayed.note(place, item)
    replayed.finish()
    return replayed


def replay_until(path: Path, line: int, file: int | None = None) -> tuple[Place, Round]:
    """The machines after a line of a trace; of a trace of several files, that of file number ``file``.

    TraceError as above, or when there is no such line or no machines are known there.
    """
    files = files_of(path)
    if file is None and len(files) > 1:
        raise TraceError(f"{path} has {len(files)} files: name the one you mean too, as in 2:{line}")
    player, last, number = Player(), Place(path, 0), 0
    for place, item in read(path):
        number = item.file if isinstance(item, Header) else number
        if file in (None, number):
            if place.n > line:
                break
            last = place
        player.take(place, item)
    else:
        if last.n < line:
            raise TraceError(f"{path} has no line {line if file is None else f'{file}:{line}'}")
    if player.core is None:
        raise TraceError(f"{last}: no machines are known there")
    return last, player.core
