"""What a trace says of the daemon's settings without saying the settings."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import msgspec


def configuration_digest(config: object) -> str:
    """SHA-256 (hex) of a configuration: the canonical JSON of its dataclasses and structs.

    Fields with ``repr=False`` are left out: in this code base those are the secrets, and a digest of a weak
    password would give it away.
    """
    return hashlib.sha256(msgspec.json.encode(_plain(config), order="deterministic")).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [field.name for field in dataclasses.fields(value) if field.repr]
        return {name: _plain(getattr(value, name)) for name in shown}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else msgspec.to_builtins(value)
