"""Events, effects and other structs of the core as JSON, with large bytes put on the shelf.

Bytes are base64. Those of a block stand as ``{"body": ...}`` or ``{"pieces": ...}`` (fedsm/trace/bodies.py). The
envelope of a received message contains the message; it stands as ``{"head": ..., "tail": ...}``, the bytes before
and after the message's msgpack form.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fedsm.trace.bodies import LARGE_BYTES, BodyShelf, BodyStore, place_of, stands_for_bytes
from states.events import Received
from states.messages import Message

_encode = msgspec.msgpack.Encoder().encode


def pack(value: object, shelf: BodyShelf) -> Any:
    """A struct as builtins that ``msgspec.json`` encodes."""
    if isinstance(value, Received):
        packed: dict[str, Any] = {
            "type": "received",
            "sender": value.sender,
            "message": pack(value.message, shelf),
            "envelope": _pack_envelope(value, shelf),
            "now_ms": value.now_ms,
        }
        return packed
    return _put_away(msgspec.to_builtins(value, builtin_types=(bytes,)), shelf)


def _pack_envelope(event: Received, shelf: BodyShelf) -> Any:
    payload = _encode(event.message)
    at = place_of(payload, event.envelope)
    if at < 0 or len(event.envelope) - len(payload) >= LARGE_BYTES:
        return _put_away(event.envelope, shelf)
    return {"head": event.envelope[:at], "tail": event.envelope[at + len(payload) :]}


def _put_away(content: Any, shelf: BodyShelf) -> Any:
    """Builtins with every large bytes value replaced by what stands for it."""
    if isinstance(content, dict):
        return {key: _put_away(value, shelf) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_put_away(value, shelf) for value in content]
    if isinstance(content, bytes) and len(content) >= LARGE_BYTES:
        return shelf.put(content)
    return content


def unpack(content: Any, kind: Any, bodies: BodyStore) -> Any:
    """A struct of type ``kind`` from what ``pack`` made of it and JSON gave back.

    ValueError (msgspec's or BodyError) says what is wrong: a missing, unknown or ill-typed field, a missing body.
    """
    if isinstance(content, dict) and content.get("type") == "received":
        content = _with_envelope(content, bodies)
    full = _fetch(content, bodies)
    value = msgspec.convert(full, kind)
    refuse_unknown_fields(full, msgspec.to_builtins(value, builtin_types=(bytes,)))
    return value


def _with_envelope(content: dict[str, Any], bodies: BodyStore) -> dict[str, Any]:
    envelope = content.get("envelope")
    if not isinstance(envelope, dict) or envelope.keys() != {"head", "tail"}:
        return content
    head, tail = (msgspec.convert(envelope[end], bytes) for end in ("head", "tail"))
    message = msgspec.convert(_fetch(content.get("message"), bodies), Message)
    return {**content, "envelope": head + _encode(message) + tail}


def _fetch(content: Any, bodies: BodyStore) -> Any:
    """Builtins with the bytes again in place of what stands for them."""
    if isinstance(content, dict):
        if stands_for_bytes(content):
            return bodies.bytes_of(content)
        return {key: _fetch(value, bodies) for key, value in content.items()}
    if isinstance(content, list):
        return [_fetch(value, bodies) for value in content]
    return content


def refuse_unknown_fields(given: Any, known: Any) -> None:
    """The core's structs leave out unknown fields. ValueError, for in a trace that would hide something."""
    if isinstance(given, dict) and isinstance(known, dict):
        unknown = given.keys() - known.keys()
        if unknown:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        for key, value in given.items():
            refuse_unknown_fields(value, known[key])
    elif isinstance(given, list) and isinstance(known, list | tuple):
        for one, other in zip(given, known, strict=True):
            refuse_unknown_fields(one, other)
