"""Evidence of misbehaviour: kept whole, in bounds, and never a reason to stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedsm import evidence
from fedsm.evidence import EvidenceLog
from states.effects import Report

REPORT = Report("equivocation", 10, 2, 1, "prevote", (b"\x00one", b"\xffother"))


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_report_is_one_line_of_json_with_its_envelopes_in_hex(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    assert EvidenceLog(path).add(REPORT)
    assert entries(path) == [
        {
            "code": "equivocation",
            "member": 1,
            "height": 10,
            "round": 2,
            "detail": "prevote",
            "envelopes": [b"\x00one".hex(), b"\xffother".hex()],
        }
    ]


def test_entries_of_earlier_runs_stay(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    assert EvidenceLog(path).add(REPORT)
    assert EvidenceLog(path).add(REPORT)
    assert len(entries(path)) == 2


def test_a_full_file_takes_no_more_and_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evidence.jsonl"
    log = EvidenceLog(path)
    assert log.add(REPORT)
    monkeypatch.setattr(evidence, "MAX_BYTES", 2 * path.stat().st_size)
    assert log.add(REPORT)
    assert not log.add(REPORT)
    assert not EvidenceLog(path).add(REPORT), "nor after a restart"
    assert len(entries(path)) == 2


def test_a_file_that_cannot_be_written_is_told_and_not_raised(tmp_path: Path) -> None:
    assert not EvidenceLog(tmp_path / "missing" / "evidence.jsonl").add(REPORT)
