"""Signed proof of misbehaviour, kept in the member's directory for the federation to look at."""

from __future__ import annotations

import json
from pathlib import Path

from states.effects import Report

MAX_ENTRIES = 10_000


class EvidenceLog:
    """Appends reports with evidence to a JSON-lines file; the envelopes in it (hex) prove the report."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = sum(1 for _ in path.open(encoding="ascii")) if path.exists() else 0

    def add(self, report: Report) -> bool:
        """Keep a report. False when the file is full (MAX_ENTRIES) and it was not kept."""
        if self._entries >= MAX_ENTRIES:
            return False
        entry = {
            "code": report.code,
            "member": report.member,
            "height": report.height,
            "round": report.round,
            "detail": report.detail,
            "envelopes": [envelope.hex() for envelope in report.evidence],
        }
        with self._path.open("a", encoding="ascii") as file:
            file.write(json.dumps(entry) + "\n")
        self._entries += 1
        return True
