"""Events, effects, messages and moments in a few words, and where two structs differ."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from states.effects import Broadcast, Persist, Report, SetTimer
from states.events import (
    BlockBuilt,
    BlockCombined,
    BlockJudged,
    BlockSubmitted,
    DigestSigned,
    PersistFailed,
    Received,
    TimerFired,
    TipChanged,
)

SHOWN_DIGITS = 10
SHOWN_BYTES = 8
SHOWN_TEXT = 80


def short(block_hash: str | None) -> str:
    """A block hash as people compare them, and the nil vote by its name."""
    return "nil" if block_hash is None else f"{block_hash[:SHOWN_DIGITS]}.."


def clock_time(ms: int) -> str:
    """A moment (milliseconds since the Unix epoch) in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def in_words(thing: Any) -> str:
    """What an event, effect or message is, with its height and round."""
    place = thing
    if isinstance(thing, Received | Broadcast):
        place = thing.message
    numbers = [f"{name} {getattr(place, name)}" for name in ("height", "round") if hasattr(place, name)]
    return f"{_words_of(thing)} ({', '.join(numbers)})" if numbers else _words_of(thing)


_WORDS: dict[type, Callable[[Any], str]] = {
    TipChanged: lambda it: f"the tip {short(it.block_hash)}",
    TimerFired: lambda it: f"the {it.timer} timer",
    Received: lambda it: f"the {_words_of(it.message)} of member {it.sender}",
    BlockBuilt: lambda it: f"block {short(it.block_hash)} that our node built" if it.block else "no block built",
    BlockJudged: lambda it: f"our node's verdict {it.verdict!r} on block {short(it.block_hash)}",
    DigestSigned: lambda it: f"{'our' if it.signature else 'no'} signature for block {short(it.block_hash)}",
    BlockCombined: lambda it: f"{'combined' if it.block else 'uncombined'} block {short(it.block_hash)}",
    BlockSubmitted: lambda it: f"our node's answer {it.outcome!r} to block {short(it.block_hash)}",
    PersistFailed: lambda it: f"the failure to write a record: {it.code}",
    Broadcast: lambda it: f"broadcast of the {_words_of(it.message)}",
    SetTimer: lambda it: f"setting of the {it.timer} timer",
    Report: lambda it: f"report {it.code!r}",
    Persist: lambda it: f"record of {', '.join(map(_tag_of, it.records))}",
}


def _words_of(thing: Any) -> str:
    words = _WORDS.get(type(thing))
    if words is not None:
        return words(thing)
    return f"{_tag_of(thing)} for {short(thing.block_hash)}" if hasattr(thing, "block_hash") else _tag_of(thing)


def _tag_of(thing: Any) -> str:
    return str(type(thing).__struct_config__.tag).replace("-", " ")


def difference(recorded: Any, replayed: Any) -> str | None:
    """The first place where two structs, or containers of them, differ, in words; None when they are equal."""
    if recorded == replayed:
        return None
    return _difference(_plain(recorded), _plain(replayed), "")


def _plain(thing: Any) -> Any:
    return msgspec.to_builtins(thing, builtin_types=(bytes,))


def _difference(recorded: Any, replayed: Any, path: str) -> str | None:
    if isinstance(recorded, dict) and isinstance(replayed, dict) and recorded.keys() == replayed.keys():
        pairs = [(recorded[key], replayed[key], f"{path}.{key}" if path else str(key)) for key in recorded]
    elif _are_sequences(recorded, replayed) and len(recorded) == len(replayed):
        pairs = [(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(recorded, replayed, strict=True))]
    elif type(recorded) is type(replayed) and recorded == replayed:
        return None
    else:
        return f"{path or 'it'}: recorded {_shown(recorded)}, replayed {_shown(replayed)}"
    return next((found for a, b, where in pairs if (found := _difference(a, b, where)) is not None), None)


def _are_sequences(one: Any, other: Any) -> bool:
    return isinstance(one, list | tuple) and isinstance(other, list | tuple)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes ({value[:SHOWN_BYTES].hex()}..)"
    if isinstance(value, dict) and "type" in value:
        return f"a {value['type']}"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + ".."
