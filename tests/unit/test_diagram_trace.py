"""fedsm diagram --trace: edges and times are counted as the machines take them when the trace is replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fedsm.cli.diagram import diagram
from fedsm.diagram import Overlay
from fedsm.diagram.counting import overlays_of
from fedsm.simulator.wire import seal
from fedsm.trace import Origin, Standing, TraceError, Transition
from fedsm.trace.sheet import Sheet
from states.effects import SetTimer
from states.events import BlockJudged, Event, Received, TimerFired, TipChanged
from states.memory import Memory
from states.messages import Message
from states.round import Round
from states.table import AGREEMENT, ROUND, MachineTable
from tests.core_bench import HEIGHT, NOW_MS, PROPOSER, TIP, X, precommit, prevote, proposal, settings

STEP_MS = 10


class Notebook:
    """The machines of one member, and the trace of what they do: a step every 10 ms."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.core = Round(settings())
        self.now_ms = NOW_MS
        self.sheet = Sheet()
        self.sheet.header(Origin("0", "00" * 32, "", "00" * 32, "00" * 32, settings()), 1, NOW_MS, new=True)

    def step(self, event: Event, after_ms: int = STEP_MS) -> None:
        self.now_ms += after_ms
        before = Standing.of(self.core)
        effects = self.core.step(event)
        self.sheet.step(Transition(self.now_ms, before, event, Standing.of(self.core), effects))

    def hear(self, sender: int, message: Message) -> None:
        self.step(Received(sender, message, seal(sender, message), self.now_ms))

    def save(self) -> Path:
        self.sheet.end(self.now_ms, stopped=True)
        self.path.write_bytes(self.sheet.take())
        return self.path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Half a round: a proposal, our prevote, and a quorum of prevotes."""
    notebook = Notebook(tmp_path / "trace-000001.jsonl")
    notebook.step(TipChanged(HEIGHT - 1, TIP, NOW_MS // 1000, NOW_MS, Memory(HEIGHT)))
    slot_ms = notebook.core.slot_ms
    notebook.step(TimerFired("slot", HEIGHT, 0, slot_ms), after_ms=5000)
    notebook.hear(PROPOSER, proposal(0, X))
    notebook.step(BlockJudged(HEIGHT, X, True, "valid"), after_ms=70)
    for member in (0, 1, 2):
        notebook.hear(member, prevote(0, X))
    notebook.hear(3, precommit(0, None))
    return notebook.save()


def taken(overlay: Overlay, table: MachineTable) -> dict[str, int]:
    """Counts by action; all rows of one action together."""
    counts: dict[str, int] = {}
    for edge in table.edges:
        counts[edge.action] = counts.get(edge.action, 0) + overlay.counts.get(edge, 0)
    return {action: count for action, count in counts.items() if count}


def test_every_row_that_was_taken_is_counted(trace: Path) -> None:
    overlays = overlays_of(trace)
    assert taken(overlays["round"], ROUND) == {"open_height": 1, "begin_round": 1, "feed_agreement": 6}
    assert taken(overlays["agreement"], AGREEMENT) == {
        "reset": 1,
        "await_proposal": 1,
        "record_proposal": 1,
        "judge_proposal": 1,
        "record_verdict": 1,
        "prevote_proposal": 1,
        "record_vote": 4,
        "lock_and_precommit": 1,
    }


def test_time_is_counted_for_the_state_in_which_it_passed(trace: Path) -> None:
    overlays = overlays_of(trace)
    assert overlays["round"].times_ms == {"Idle": 5000, "Propose": 120}
    assert overlays["agreement"].times_ms == {
        "Waiting": 5000,
        "AwaitProposal": 10,
        "Judging": 70,
        "Prevoted": 30,
        "Precommitted": 10,
    }


def test_a_row_is_counted_for_the_state_in_which_it_was_taken(trace: Path) -> None:
    counts = overlays_of(trace)["round"].counts
    assert {edge.source for edge, count in counts.items() if edge.trigger == "vote" and count} == {"Propose"}


def test_counting_changes_nothing_of_what_is_replayed(trace: Path) -> None:
    first, second = overlays_of(trace), overlays_of(trace)
    assert first == second


def test_a_clock_that_was_set_back_makes_no_time_negative(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "trace")
    notebook.step(TipChanged(HEIGHT - 1, TIP, NOW_MS // 1000, NOW_MS, Memory(HEIGHT)))
    notebook.step(TimerFired("resend", HEIGHT, 0, NOW_MS), after_ms=-3000)
    assert overlays_of(notebook.save())["round"].times_ms == {"Idle": 0}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(diagram, list(arguments))


def test_the_command_shows_the_counts_in_every_format(trace: Path) -> None:
    data = json.loads(run("round", "--format", "json", "--trace", str(trace)).output)
    assert sum(row["count"] for row in data["edges"]) == 8
    for form, text in (("svg", "5.0 s, 97.7 %"), ("mermaid", "Idle (5.0 s, 97.7 %)"), ("table", "5.0 s, 97.7 %")):
        assert text in run("round", "--format", form, "--trace", str(trace)).output


def test_a_trace_that_is_damaged_or_missing_is_refused_in_one_line(trace: Path) -> None:
    damaged = trace.with_name("trace-damaged")
    damaged.write_bytes(trace.read_bytes().replace(b'"round":0', b'"round":1', 1))
    for path in (damaged, trace.with_name("nothing")):
        result = run("round", "--trace", str(path))
        assert isinstance(result.exception, TraceError)
        assert "\n" not in str(result.exception)


def test_a_trace_that_the_machines_do_not_follow_is_not_counted(tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "trace")
    notebook.step(TipChanged(HEIGHT - 1, TIP, NOW_MS // 1000, NOW_MS, Memory(HEIGHT)))
    standing = Standing.of(notebook.core)
    event = TimerFired("resend", HEIGHT, 0, NOW_MS)
    notebook.sheet.step(Transition(NOW_MS, standing, event, standing, [SetTimer("resend", HEIGHT, 0, 1)]))
    with pytest.raises(TraceError, match="recorded"):
        overlays_of(notebook.save())
