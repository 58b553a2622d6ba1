"""PKCS#11 URIs (RFC 7512): where a key is, in one line.

Only what says where one private key is and where its PIN stands is taken. Every other attribute is refused by name,
and so is a PIN within the URI, because everybody on the machine can read a command line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

SCHEME = "pkcs11:"
_PATH = {
    "token": "token",
    "serial": "serial",
    "manufacturer": "manufacturer",
    "model": "model",
    "slot-id": "slot",
    "object": "label",
    "id": "key_id",
    "type": "type",
}
_QUERY = {"module-path": "module", "pin-source": "pin_source"}
_NEVER_EMPTY = ("id", "slot-id", "type", "module-path", "pin-source")
_ADVICE = {
    "pin-value": "a PIN does not belong into a command line: use pin-source",
    "module-name": "name the module's file with module-path",
}
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_uri(text: str) -> tuple[dict[str, Any], Path | None]:
    """The fields of a KeyPlace that a URI names, and the file of its PIN if it names one.

    ValueError with one line that names the attribute which is wrong.
    """
    scheme, found, rest = text.partition(":")
    if not found or scheme.lower() != SCHEME[:-1]:
        raise ValueError(f'a PKCS#11 URI begins with "{SCHEME}"')
    if not rest.isprintable():
        raise ValueError("the URI has characters that cannot be seen")
    path, _, query = rest.partition("?")
    fields: dict[str, Any] = {}
    for part, separator, names in ((path, ";", _PATH), (query, "&", _QUERY)):
        for attribute in filter(None, part.split(separator)):
            name, value = _attribute(attribute, names)
            if name in fields:
                raise ValueError(f"the attribute {attribute.partition('=')[0]} stands in the URI twice")
            fields[name] = value
    if fields.pop("type", "private") != "private":
        raise ValueError('the attribute type must be "private": a block is signed with a private key')
    source = fields.pop("pin_source", None)
    return fields, None if source is None else _file_of(source)


def _attribute(text: str, names: dict[str, str]) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if name not in names:
        raise ValueError(f"the attribute {name} is not understood here{_because(name)}")
    if not found or (not value and name in _NEVER_EMPTY):
        raise ValueError(f"the attribute {name} has no value")
    if _BAD_PERCENT.search(value):
        raise ValueError(f"the attribute {name} has a % without two hex digits behind it")
    raw = unquote_to_bytes(value)
    if name == "id":
        return names[name], raw
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"the attribute {name} is not UTF-8") from None
    if name != "slot-id":
        return names[name], decoded
    if not (decoded.isascii() and decoded.isdigit()):
        raise ValueError("the attribute slot-id is not a number")
    return names[name], int(decoded)


def _because(name: str) -> str:
    return f": {_ADVICE[name]}" if name in _ADVICE else ""


def _file_of(source: str) -> Path:
    """The file in ``pin-source``: ``file:/path`` or a path. Programs (``|command``) are not run."""
    path = Path(source.removeprefix("file://").removeprefix("file:"))
    if not path.is_absolute():
        raise ValueError("the attribute pin-source must be the absolute path of a file")
    return path
