"""Signed proof of misbehaviour, kept in the member's directory for the federation to look at."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from states.effects import Report

MAX_BYTES = 256 * 1024 * 1024  # two proposals of the largest size take 34 MB in hex


class EvidenceLog:
    """Appends reports with evidence to a JSON-lines file; the envelopes in it (hex) prove the report.

    May be used from several threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, report: Report) -> bool:
        """Keep a report. False when it was not kept: the file has MAX_BYTES or cannot be written."""
        entry = {
            "code": report.code,
            "member": report.member,
            "height": report.height,
            "round": report.round,
            "detail": report.detail,
            "envelopes": [envelope.hex() for envelope in report.evidence],
        }
        line = json.dumps(entry) + "\n"
        try:
            with self._lock, self._path.open("a", encoding="ascii") as file:
                if file.tell() + len(line) > MAX_BYTES:
                    return False
                file.write(line)
        except OSError:
            return False
        return True
