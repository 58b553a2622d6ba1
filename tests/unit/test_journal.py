"""What the daemon logs: stable event names, the right level, and every name explained to operators."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedsm.journal import Journal
from fedsm.peers import Peers
from signers.guard_codes import MEANINGS
from states.effects import Report
from states.events import TipChanged
from states.memory import Memory
from states.round import Round
from tests.members import Federation
from tests.unit.log_lines import LogLines
from transports.refusals import REASONS

SLOT_MS = 1_700_000_000_000
ROOT = Path(__file__).parents[2]
EVENTS = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
MANUAL = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8") + EVENTS


class Desk:
    """A journal over a core that the test moves by hand."""

    def __init__(self, **core: Any) -> None:
        fields = {"state": "Idle", "height": 0, "round": 0, "slot_ms": SLOT_MS}
        self.core = SimpleNamespace(**(fields | {"agreement": SimpleNamespace(decision=None)} | core))
        self.logs = LogLines()
        self.journal = Journal(cast(Round, self.core), self.logs.log)

    def tip(self, height: int, block_hash: str = "aa" * 32) -> dict[str, Any]:
        self.journal.tip(TipChanged(height, block_hash, None, SLOT_MS + 42, Memory(height + 1)))
        return self.logs.lines[-1]


def decision(block_hash: str, round_: int) -> SimpleNamespace:
    decided = SimpleNamespace(block_hash=block_hash, certificate=SimpleNamespace(round=round_))
    return SimpleNamespace(decision=decided)


def test_a_state_is_logged_when_it_changes() -> None:
    desk = Desk()
    desk.journal.states()
    desk.core.state, desk.core.height, desk.core.round = "Propose", 10, 1
    desk.journal.states()
    desk.journal.states()
    assert desk.logs.lines == [
        {"event": "state", "log_level": "info", "state": "Propose", "height": 10, "round": 1},
    ]


def test_a_report_is_logged_under_its_code_with_what_is_known() -> None:
    desk = Desk()
    desk.journal.report(Report("round-failed", 10, 1, detail="not heard: [2]"))
    desk.journal.report(Report("wrong-proposer", 10, 0, member=2))
    assert desk.logs.lines == [
        {"event": "round_failed", "log_level": "warning", "height": 10, "round": 1, "detail": "not heard: [2]"},
        {"event": "wrong_proposer", "log_level": "warning", "height": 10, "round": 0, "peer": 2},
    ]


@pytest.mark.parametrize(
    ("code", "level"),
    [("equivocation", "error"), ("signing-failed", "error"), ("abstaining", "warning"), ("decided", "info"),
     ("submitted-accepted", "info"), ("too-early", "debug")],
)  # fmt: skip
def test_what_needs_the_operator_is_louder_than_routine(code: str, level: str) -> None:
    desk = Desk()
    desk.journal.report(Report(code, 10, 0))
    assert desk.logs.lines[0]["log_level"] == level


def test_an_accepted_block_is_logged_with_its_round_and_its_time_since_the_slot() -> None:
    desk = Desk(height=10, agreement=decision("aa" * 32, 1))
    line = desk.tip(10)
    assert line["event"] == "block_accepted"
    assert (line["height"], line["hash"], line["round"]) == (10, "aa" * 32, 1)
    assert (line["slot_ms"], line["accepted_ms"], line["latency_ms"]) == (SLOT_MS, SLOT_MS + 42, 42)


def test_a_block_that_we_did_not_see_decided_has_no_round() -> None:
    assert Desk(height=10).tip(10)["round"] is None
    assert Desk(height=10, agreement=decision("bb" * 32, 1)).tip(10)["round"] is None


def test_the_first_tip_and_one_that_skips_heights_are_no_accepted_blocks() -> None:
    assert Desk().tip(10) == {"event": "tip", "log_level": "info", "height": 10, "hash": "aa" * 32}
    assert Desk(height=10).tip(17)["event"] == "tip"
    assert Desk(height=10).tip(9)["event"] == "tip", "a reorganisation"


def sources_of_the_command() -> list[Path]:
    """The files that a fresh process loads for the command."""
    load = "import fedsm.cli, transports.kafka, sys; "  # Kafka is loaded when it is wanted
    show = load + "print(*[m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)])"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True, timeout=60)
    packages = [ROOT / name for name in ("fedsm", "states", "transports", "signers")]
    files = map(Path, loaded.stdout.split())
    return [file for file in files if any(file.is_relative_to(package) for package in packages)]


def events_about_peers() -> set[str]:
    """The names that are made of what can be wrong with a peer."""
    logs, member = LogLines(), Federation().members[1]
    peers = Peers(0, "0.1.0", "", logs.log)
    peers.heard(1, member.heartbeat(height=1, time_ms=0, version="0.2.0", federation="aa"), 10, 0, SLOT_MS)
    peers.heard(1, member.heartbeat(height=10, time_ms=SLOT_MS), 10, 0, SLOT_MS)
    return {line["event"] for line in logs.lines}


def events_in_the_code() -> set[str]:
    """Every name that a log call or a report in the modules of the command can give a line."""
    names = {"submission_delayed", *(f"submitted_{outcome}" for outcome in ("accepted", "duplicate", "fork"))}
    names |= events_about_peers()
    choice = r"""\(\s*(?:[\w.]+,\s*)?"([a-z_ -]+)"(?: if \w+ else "([a-z_ -]+)")?"""
    calls = re.compile(r"(?:log|logger\(\))\.(?:debug|info|warning|error|critical|exception)" + choice)
    said = re.compile(r"(?:_report|_complain|\b_?say|\.accuse)" + choice)
    chosen = re.compile(r"""code = "([a-z-]+)" if .* else "([a-z-]+)\"""")
    for source in sources_of_the_command():
        text = source.read_text(encoding="utf-8")
        found = [name for pattern in (calls, said, chosen) for pair in pattern.findall(text) for name in pair]
        names |= {name.replace("-", "_") for name in found if name}
    return names


def test_every_event_of_the_code_is_explained_with_what_to_do() -> None:
    explained = set(re.findall(r"^\| `([a-z_ ]+)`", EVENTS, re.MULTILINE))
    names = events_in_the_code()
    assert {"started", "stopped", "block_accepted", "decided", "combination_failed", "node_back"} <= names
    assert {"worker_failed", "link_up", "link_down", "submission_refused"} <= names
    assert names == explained


@pytest.mark.parametrize("codes", [MEANINGS, REASONS], ids=["guard", "messages"])
def test_every_reason_of_a_refusal_is_explained(codes: Collection[str]) -> None:
    assert [code for code in codes if f"`{code}`" not in MANUAL] == []
