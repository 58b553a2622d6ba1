"""The whole memory of a member's machines: taken while they stand still, written to a trace, and given back.

A trace must be readable from the middle, for its oldest files are removed one day. So a file that does not begin
with new machines begins with their memory. Nothing in here knows what they remember: it walks their objects, which
are plain data, structs, and instances of classes of ``states``. Reading makes new objects of those classes and
nothing else: no code comes out of a trace.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from fedsm.trace.bodies import LARGE_BYTES, BodyShelf, BodyStore, stands_for_bytes
from fedsm.trace.codec import pack, unpack
from states.round import Round, Settings

_PACKAGE = "states."
_SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "deque": deque, "set": set}


class Node(NamedTuple):
    """A container or an object with what is in it, unchanging and comparable.

    ``kind`` is "list", "tuple", "deque", "set" (in order), "dict" (pairs), or the name of a class (pairs of
    attribute and value).
    """

    kind: str
    content: tuple[Any, ...]


def take(value: object) -> Any:
    """The memory of an object: scalars, bytes and structs as they are, everything else as Nodes.

    TypeError for an object that is neither plain data nor of a class of ``states``.
    """
    if value is None or isinstance(value, bool | int | str | bytes | msgspec.Struct):
        return value
    kind = type(value).__name__
    if isinstance(value, dict) and kind == "dict":
        return Node("dict", tuple((take(key), take(item)) for key, item in value.items()))
    if isinstance(value, set) and kind == "set":
        return Node("set", tuple(sorted(map(take, value), key=repr)))
    if isinstance(value, list | tuple | deque) and kind in _SEQUENCES:
        return Node(kind, tuple(map(take, value)))
    name = _name_of(type(value))
    if not name.startswith(_PACKAGE):
        raise TypeError(f"the machines remember an object of {name}, which a trace cannot keep")
    return Node(name, tuple((field, take(item)) for field, item in sorted(vars(value).items())))


def write(memory: Any, shelf: BodyShelf) -> Any:
    """A memory as builtins that ``msgspec.json`` encodes."""
    if isinstance(memory, bytes):
        return shelf.put(memory) if len(memory) >= LARGE_BYTES else {"bytes": memory}
    if isinstance(memory, msgspec.Struct):
        return {"struct": _name_of(type(memory)), "value": pack(memory, shelf)}
    if not isinstance(memory, Node):
        return memory
    if memory.kind in _SEQUENCES:
        return {memory.kind: [write(item, shelf) for item in memory.content]}
    if memory.kind == "dict":
        return {"dict": [[write(key, shelf), write(item, shelf)] for key, item in memory.content]}
    return {"object": memory.kind, "fields": {name: write(item, shelf) for name, item in memory.content}}


def read(content: Any, bodies: BodyStore) -> Any:
    """An object from what ``write`` made of its memory. ValueError or TypeError when it is none."""
    if not isinstance(content, dict):
        return content
    if stands_for_bytes(content):
        return bodies.bytes_of(content)
    match content:
        case {"bytes": text, **rest} if not rest:
            return msgspec.convert(text, bytes)
        case {"struct": str(name), "value": value, **rest} if not rest:
            return unpack(value, _class(name, msgspec.Struct), bodies)
        case {"dict": list(pairs), **rest} if not rest:
            return {read(key, bodies): read(item, bodies) for key, item in pairs}
        case {"object": str(name), "fields": dict(fields), **rest} if not rest:
            return _object(name, {field: read(item, bodies) for field, item in fields.items()})
    kind, items = next(iter(content.items()), ("", None))
    if len(content) != 1 or kind not in _SEQUENCES or not isinstance(items, list):
        raise ValueError(f"a memory does not hold {{{', '.join(sorted(content))}}}")
    return _SEQUENCES[kind](read(item, bodies) for item in items)


def read_machines(content: Any, settings: Settings, bodies: BodyStore) -> Round:
    """Machines with this memory. ValueError or TypeError when it is not that of this version's machines."""
    core = read(content, bodies)
    if not isinstance(core, Round) or core.settings != settings:
        raise ValueError("it is not the memory of machines with the settings of the first line")
    new = Round(settings)
    if vars(core).keys() != vars(new).keys() or vars(core.agreement).keys() != vars(new.agreement).keys():
        raise ValueError("another version of the machines remembers other things")
    return core


def difference(one: Any, other: Any, path: str = "") -> str | None:
    """Where two memories differ first, as a path of attributes, keys and positions; None when they do not."""
    if one == other:
        return None
    alike = isinstance(one, Node) and isinstance(other, Node) and one.kind == other.kind
    if not alike or len(one.content) != len(other.content):
        return path
    for left, right in zip(_entries(one), _entries(other), strict=True):
        if left != right:
            key = f"{path}.{left[0]}" if path else str(left[0])
            return difference(left[1], right[1], key) if left[0] == right[0] else path
    return path


def _entries(node: Node) -> Iterator[tuple[Any, Any]]:
    return enumerate(node.content) if node.kind in _SEQUENCES else iter(node.content)


def _object(name: str, fields: dict[str, Any]) -> object:
    kind = _class(name, object)
    made = kind.__new__(kind)
    for field, value in fields.items():
        if not field.isidentifier() or field.startswith("__"):
            raise ValueError(f"{field!r} is no attribute")
        setattr(made, field, value)
    return made


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _class(name: str, base: type) -> Any:
    kind = _classes().get(name)
    if kind is None or not issubclass(kind, base):
        raise ValueError(f"the machines have no {name}")
    return kind


@cache
def _classes() -> dict[str, type]:
    """The classes of the core, which is imported as a whole by now, by their full names."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(_PACKAGE)]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {_name_of(kind): kind for kind in classes if kind.__module__.startswith(_PACKAGE)}
