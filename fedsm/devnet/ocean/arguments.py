"""How Ocean reads the arguments of a call: each by itself, where it is used, with UniValue's texts for errors."""

from __future__ import annotations

import re
from typing import Any

from fedsm.devnet.rpc_base import (
    INVALID_PARAMETER,
    MISC_ERROR,
    TYPE_ERROR,
    RpcError,
    from_hex,
    satoshi,
    type_name,
)

_TYPES = {"string": "a string", "array": "an array", "object": "an object", "bool": "a boolean"}
_AMOUNT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def expect(value: Any, kind: str) -> Any:
    """``value`` if it has the JSON type ``kind``, else UniValue's complaint."""
    if type_name(value) != kind:
        raise RpcError(MISC_ERROR, f"JSON value is not {_TYPES[kind]} as expected")
    return value


def text(value: Any) -> str:
    """A string."""
    found: str = expect(value, "string")
    return found


def whole(value: Any) -> int:
    """A whole number of 32 bits."""
    if type_name(value) != "number":
        raise RpcError(MISC_ERROR, "JSON value is not an integer as expected")
    if not isinstance(value, int) or not -(1 << 31) <= value < 1 << 31:
        raise RpcError(MISC_ERROR, "JSON integer out of range")
    return value


def check_types(*pairs: tuple[Any, str]) -> None:
    """RPCTypeCheck: each value that is not null must have the JSON type beside it. Raises RpcError."""
    for value, kind in pairs:
        if value is not None and type_name(value) != kind:
            raise RpcError(TYPE_ERROR, f"Expected type {kind}, got {type_name(value)}")


def field(container: dict[str, Any], name: str, kind: str) -> Any:
    """A field that must be there with this JSON type (RPCTypeCheckObj)."""
    value = container.get(name)
    if value is None:
        raise RpcError(TYPE_ERROR, f"Missing {name}")
    if type_name(value) != kind:
        raise RpcError(TYPE_ERROR, f"Expected type {kind} for {name}, got {type_name(value)}")
    return value


def loose_hash(value: str) -> str:
    """A hash in any hex (uint256S): what is no digit ends it, what is short is filled up with zeros in front."""
    digits = value.strip().lower().removeprefix("0x")
    end = next((place for place, digit in enumerate(digits) if digit not in "0123456789abcdef"), len(digits))
    return digits[:end][-64:].rjust(64, "0")


def hash_of(value: Any, name: str) -> str:
    """A hash of exactly 64 hex digits (ParseHashV)."""
    found = value if isinstance(value, str) else ""
    if from_hex(found) is None or not found:
        raise RpcError(INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{found}')")
    if len(found) != 64:
        raise RpcError(INVALID_PARAMETER, f"{name} must be of length 64 (not {len(found)})")
    return found.lower()


def hex_of(value: Any, name: str) -> bytes:
    """Bytes in hex, at least one (ParseHexV)."""
    data = from_hex(value) if isinstance(value, str) else None
    if not data:
        shown = value if isinstance(value, str) else ""
        raise RpcError(INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{shown}')")
    return data


def number_in(value: str) -> int:
    """The number that a string begins with (atoi), 0 if it does with none; as unsigned 32 bits."""
    digits = value.strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    end = next(
        (place for place, digit in enumerate(digits) if not digit.isascii() or not digit.isdigit()), len(digits)
    )
    return sign * int(digits[:end] or "0") & 0xFFFF_FFFF


def amount(value: Any) -> int:
    """An amount in coins, as number or string, in satoshi."""
    if type_name(value) in ("number", "string") and not _AMOUNT.fullmatch(str(value)):
        raise RpcError(TYPE_ERROR, "Invalid amount")
    return satoshi(value)


__all__ = [
    "amount",
    "check_types",
    "expect",
    "field",
    "hash_of",
    "hex_of",
    "loose_hash",
    "number_in",
    "text",
    "whole",
]
