"""Reads a trace: a file, or a folder with all its files in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fedsm.trace import memory
from fedsm.trace.bodies import BodyStore
from fedsm.trace.chain import FileLines, Place, TraceError
from fedsm.trace.codec import refuse_unknown_fields, unpack
from fedsm.trace.files import files_in, number_of
from fedsm.trace.lines import FORMAT, AnyLine, Body, End, Gap, Header, Machine, Step
from fedsm.trace.sheet import Transition
from states.effects import Effect
from states.events import Event
from states.round import Round, Settings


class Kept(NamedTuple):
    """The memory of the machines, still as JSON gives it."""

    content: Any
    bodies: BodyStore

    def machines(self, settings: Settings) -> Round:
        """Machines with this memory. ValueError or TypeError when it is none that they could have."""
        return memory.read_machines(self.content, settings, self.bodies)


Item = Header | Gap | Kept | Transition | End


_decoder: msgspec.json.Decoder[AnyLine] = msgspec.json.Decoder(AnyLine)


class _Format(msgspec.Struct, tag_field="line", tag="header"):
    """What every header has, now and in later versions."""

    format: int


def read(path: Path) -> Iterator[tuple[Place, Item]]:
    """What a trace says, line by line. TraceError at the first thing that is wrong with it.

    ``path`` is a file, a folder with the files of a trace, or a data directory with one such folder in it. A file
    that ends in the middle of a line was cut off, unless another one goes on after its last complete line: then
    the daemon was killed there.
    """
    before: FileLines | None = None
    for file in files_of(path):
        lines = FileLines(file)
        for place, item in _items(lines):
            if isinstance(item, Header) and path.is_dir():
                _check_order(place, item, lines, before)
            yield place, item
        before = lines
    if before is not None and before.torn:
        raise TraceError(f"{before.path} ends in the middle of a line: cut off, or still being written")


def files_of(path: Path) -> list[Path]:
    """The files that ``read`` reads, in order. TraceError when there are none, or not all."""
    if not path.exists():
        raise TraceError(f"{path}: no such file or directory")
    if not path.is_dir():
        return [path]
    try:
        folders = [path, *path.glob("trace"), *path.glob("*/*/trace")]
        found = [folder for folder in folders if folder.is_dir() and files_in(folder)]
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror}") from None
    if not found:
        raise TraceError(f"{path} holds no trace")
    if len(found) > 1:
        raise TraceError(f"{path} holds several traces, name one: {', '.join(map(str, found))}")
    files = files_in(found[0])
    for number, following in itertools.pairwise(files):
        if following != number + 1:
            raise TraceError(f"{found[0]}: file {number + 1} is missing")
    return list(files.values())


def _check_order(place: Place, header: Header, lines: FileLines, before: FileLines | None) -> None:
    if header.file != number_of(place.file):
        raise TraceError(f"{place.file} was file {header.file} of a trace: files were mixed up")
    if before is not None and lines.first_prev != before.last:
        raise TraceError(
            f"{place.file} does not go on after the last line of {before.path.name}: lines are missing there, or "
            "they are of different traces"
        )


def _items(lines: FileLines) -> Iterator[tuple[Place, Item]]:
    bodies, steps, ended = BodyStore(), 0, False
    for place, text in lines:
        line = _decode(place, text)
        if isinstance(line, Header) != (place.n == 1) or ended:
            raise TraceError(f"{place}: a {_kind(line)} line does not belong there")
        try:
            item = _item(line, bodies)
        except (ValueError, TypeError, RecursionError) as error:
            raise TraceError(f"{place} does not make sense: {error}") from None
        if item is None:
            continue
        yield place, item
        steps += isinstance(item, Transition)
        ended = isinstance(item, End)
        if isinstance(item, End) and item.steps != steps:
            raise TraceError(f"{place} tells of {item.steps} steps, and there are {steps}")


def _decode(place: Place, text: bytes) -> AnyLine:
    if place.n == 1:
        _check_format(place, text)
    try:
        line = _decoder.decode(text)
        if isinstance(line, Header):
            refuse_unknown_fields(msgspec.json.decode(text)["settings"], msgspec.to_builtins(line.settings))
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place} is not of a trace of this version: {error}") from None
    return line


def _check_format(place: Place, text: bytes) -> None:
    try:
        written = msgspec.json.decode(text, type=_Format).format
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place.file} is not a trace of fedsm: {error}") from None
    if written > FORMAT:
        raise TraceError(
            f"{place.file} was written by a newer fedsm: its format is {written}, this one reads {FORMAT}"
        )


def _kind(line: AnyLine) -> str:
    return str(type(line).__struct_config__.tag)


def _item(line: AnyLine, bodies: BodyStore) -> Item | None:
    """What a line says, with all bytes in place; None for a body."""
    if isinstance(line, Body):
        bodies.add(line.sha256, line.size, line.data)
        return None
    if isinstance(line, Machine):
        return Kept(msgspec.json.decode(line.memory), bodies)
    if isinstance(line, Step):
        event = unpack(msgspec.json.decode(line.event), Event, bodies)
        effects = [unpack(msgspec.json.decode(effect), Effect, bodies) for effect in line.effects]
        return Transition(line.at_ms, line.before, event, line.after, effects, line.failure)
    return line
