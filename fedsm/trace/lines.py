"""The lines of a trace: what a daemon's machines were told, what they did about it, and a chain of hashes.

A trace is a folder of files, ``trace-000001.jsonl`` and so on. Every line is one JSON object: ``line`` says what it
is, ``n`` is its number in the file (from 1) and ``prev`` the SHA-256 of the line before it, without the newline
(64 zeros before the very first line of a trace). The first line of a file carries the hash of the last line of the
file before it. A file is complete in itself:

``header``
    first line of every file: who wrote it, and everything that the machines were built from
``gap``
    second line, or next to last: the trace is incomplete, so many events are missing here
``machine``
    the machines' whole memory, in every file that does not begin with new machines
``body``
    a block body, compressed (zlib), once in a file; other lines name it by its SHA-256
``step``
    one event, where the machines stood before and after it, and the effects they returned
``end``
    last line of a file that was closed in order

The older files of a folder are compressed as a whole (gzip); the hashes are those of the lines inside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from states.round import Round, Settings
from states.table import TABLES, MachineTable

# Raised when a reader of the former number could not understand a trace any more.
FORMAT = 1
NO_LINE = "0" * 64
# The most that one line may take: a body of the largest size, incompressible, in base64.
MAX_LINE_BYTES = 32 * 1024 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line"):
    """What every line has."""

    prev: str
    n: int


class Header(Line, frozen=True, tag="header"):
    """Who wrote the file, and what the machines in it were built from.

    ``begins``: "new" machines, or the memory that a ``machine`` line gives. ``file`` is the number of the file.
    ``chain`` is the genesis hash. ``federation`` is the digest of the federation file (empty without one),
    ``script`` the SHA-256 of the block-signing script, ``configuration`` that of the daemon's settings without
    its secrets, ``tables`` that of the machines' tables.
    """

    format: int
    version: str
    file: int
    begins: Literal["new", "machine"]
    at_ms: int
    chain: str
    federation: str
    script: str
    configuration: str
    tables: str
    settings: Settings


class Gap(Line, frozen=True, tag="gap"):
    """``lost`` events are not in the trace, and why."""

    at_ms: int
    lost: int
    reason: str


class Machine(Line, frozen=True, tag="machine"):
    """The memory of the machines at this point, as fedsm/trace/memory.py writes it."""

    memory: msgspec.Raw


class Body(Line, frozen=True, tag="body"):
    """Bytes that later lines of this file name by their hash. ``size`` is theirs, ``data`` is deflated (zlib)."""

    sha256: str
    size: int
    data: bytes


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the machines stand: round and agreement, the height they work on and its round.

    ``reissue`` has the state of each asset's reissue machine.
    """

    state: str
    agreement: str
    height: int
    round: int
    reissue: dict[str, str] = {}

    @classmethod
    def of(cls, core: Round) -> Standing:
        """Where these machines stand now."""
        reissuances = core.reissuances
        if reissuances is None or not reissuances.machines:
            return cls(core.state, core.agreement.state, core.height, core.round)
        reissue = {asset: machine.state for asset, machine in reissuances.machines.items()}
        return cls(core.state, core.agreement.state, core.height, core.round, reissue)

    def __str__(self) -> str:
        text = f"{self.state}/{self.agreement} at height {self.height}, round {self.round}"
        for asset, state in self.reissue.items():
            text += f", asset {asset[:10]}.. in {state}"
        return text


class Step(Line, frozen=True, tag="step"):
    """One event and what came of it. ``at_ms`` is the member's wall clock when the machines took it.

    ``failure`` is the exception that the machines raised, which ends the daemon; otherwise it is empty.
    """

    at_ms: int
    before: Standing
    event: msgspec.Raw
    after: Standing
    effects: list[msgspec.Raw]
    failure: str = ""


class End(Line, frozen=True, tag="end"):
    """The file was closed in order after ``steps`` steps; ``stopped`` is False when another file goes on."""

    at_ms: int
    steps: int
    stopped: bool


AnyLine = Header | Gap | Machine | Body | Step | End


def digest_of(line: bytes) -> str:
    """What the next line carries as ``prev``: SHA-256 of a line without its newline, hex."""
    return hashlib.sha256(line).hexdigest()


def tables_digest(tables: Iterable[MachineTable] = TABLES) -> str:
    """SHA-256 (hex) of the state tables in canonical JSON: states, edges, ignored pairs and timeouts in order."""
    content: Any = [msgspec.to_builtins(table) for table in tables]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
