"""Evidence of misbehaviour: kept whole, in bounds, and never a reason to stop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from fedsm import evidence
from fedsm.evidence import EvidenceLog
from states.effects import Report
from transports.limits import MAX_MESSAGE_BYTES

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


def test_of_one_member_so_much_is_kept_and_of_the_others_no_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evidence.jsonl"
    log = EvidenceLog(path)
    assert log.add(REPORT)
    monkeypatch.setattr(evidence, "MAX_BYTES_PER_MEMBER", 2 * path.stat().st_size)
    assert log.add(REPORT)
    assert not log.add(REPORT)
    assert not EvidenceLog(path).add(REPORT), "nor after a restart"
    other = structs.replace(REPORT, member=2)
    assert log.add(other)
    assert EvidenceLog(path).add(other)
    assert not EvidenceLog(path).add(other)
    assert [entry["member"] for entry in entries(path)] == [1, 1, 2, 2]


def test_two_proposals_of_the_largest_size_are_kept(tmp_path: Path) -> None:
    blocks = (bytes(MAX_MESSAGE_BYTES), bytes(MAX_MESSAGE_BYTES))
    assert EvidenceLog(tmp_path / "evidence.jsonl").add(structs.replace(REPORT, evidence=blocks))


def test_a_file_that_cannot_be_written_is_told_and_not_raised(tmp_path: Path) -> None:
    assert not EvidenceLog(tmp_path / "missing" / "evidence.jsonl").add(REPORT)
