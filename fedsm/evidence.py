"""Signed proof of misbehaviour, kept in the member's directory for the federation to look at."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path

from states.effects import Report

# About one member, so that nobody's faults can keep those of others from being kept. Two proposals of the largest
# size take 34 MB in hex.
MAX_BYTES_PER_MEMBER = 64 * 1024 * 1024

_MEMBER = re.compile(rb'\{"code": "[a-z-]+", "member": ([0-9]+), ')


class EvidenceLog:
    """Appends reports with evidence to a JSON-lines file; the envelopes in it (hex) prove the report.

    May be used from several threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: Counter[int] | None = None  # bytes by member, once the file was looked into

    def add(self, report: Report) -> bool:
        """Keep a report. False when it was not: its member has no room left, or nothing can be written."""
        entry = {
            "code": report.code,
            "member": report.member,
            "height": report.height,
            "round": report.round,
            "detail": report.detail,
            "envelopes": [envelope.hex() for envelope in report.evidence],
        }
        line = json.dumps(entry) + "\n"
        member = -1 if report.member is None else report.member
        with self._lock:
            try:
                if self._held is None:
                    self._held = _bytes_by_member(self._path)
                if self._held[member] + len(line) > MAX_BYTES_PER_MEMBER:
                    return False
                with self._path.open("a", encoding="ascii") as file:
                    file.write(line)
            except OSError:
                return False
            self._held[member] += len(line)
        return True


def _bytes_by_member(path: Path) -> Counter[int]:
    """What a file of earlier runs holds. Raises OSError if it is there and cannot be read."""
    held: Counter[int] = Counter()
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                found = _MEMBER.match(line)
                held[int(found[1]) if found else -1] += len(line)
    return held
