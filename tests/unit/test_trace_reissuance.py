"""Reissuances in a trace: recorded with the states of their machines, replayed, explained and counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from click.testing import CliRunner

from fedsm.cli import cli
from fedsm.clock import Clock
from fedsm.diagram.counting import overlays_of
from fedsm.replay import replay, replay_until
from fedsm.replay.view import view
from fedsm.trace import UNTRACED, Origin, Trace, TraceSettings, Transition, files_of, memory, open_trace, read
from fedsm.trace.bodies import BodyShelf, BodyStore
from states.effects import Effect
from states.events import (
    DraftCombined,
    DraftJudged,
    DraftSigned,
    Event,
    ReissuanceSeen,
    ReissuanceSent,
    ReissueItem,
    ReissuePlanned,
)
from states.memory import Memory
from states.messages import ReissueDraft, ReissueSignature
from states.round import Round
from tests.core_bench import HEIGHT, Bench, settings
from tests.traces import VirtualClock
from tests.unit.log_lines import LogLines

DUE = HEIGHT
ASSET, DRAFT_ID = "a5" * 32, "1d" * 32
DRAFT, TRANSACTION = b"draft" * 500, b"signed draft" * 500


class Stepped:
    """Machines whose steps go through a trace."""

    def __init__(self, core: Round, trace: Trace) -> None:
        self.core = core
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        return getattr(self.core, name)

    def step(self, event: Event) -> list[Effect]:
        return self._trace.step(self.core, event)


class TracedBench(Bench):
    """One member's machines on a bench, from their first event on in a trace; a step every 10 ms."""

    def __init__(self, directory: Path) -> None:
        self.trace = UNTRACED
        self._directory = directory
        super().__init__(machine=settings(reissue=DUE))

    def step(self, event: Event) -> None:
        if self.trace is UNTRACED:
            origin = Origin("0", "00" * 32, "", "00" * 32, "00" * 32, self.settings)
            clock: Clock = VirtualClock(self)
            self.trace = open_trace(TraceSettings(), self._directory, origin, clock, LogLines().log)
            self.trace.start()
            self.round = cast(Round, Stepped(self.round, self.trace))
        self.now_ms += 10
        super().step(event)

    @property
    def core(self) -> Round:
        return cast(Stepped, self.round).core

    def plan(self) -> None:
        """The period begins, and members 1 and 2 put forward a draft; we lock and sign it."""
        self.tip(DUE, "66" * 32, Memory(DUE + 1))
        self.hear(2, ReissueDraft(DUE, 0, ASSET, DRAFT_ID, DRAFT))
        self.step(ReissuePlanned(DUE, (ReissueItem(ASSET, 700),)))
        self.hear(1, ReissueDraft(DUE, 0, ASSET, DRAFT_ID, DRAFT))
        self.step(DraftJudged(DUE, ASSET, DRAFT_ID, 2, "valid", f"{'70' * 32}:0"))
        self.step(DraftSigned(DUE, ASSET, DRAFT_ID, (b"our signature",)))

    def sign(self, *members: int) -> None:
        for member in members:
            self.hear(member, ReissueSignature(DUE, 0, ASSET, DRAFT_ID, DRAFT, (b"signature",)))

    def send(self) -> None:
        self.step(DraftCombined(DUE, ASSET, DRAFT_ID, TRANSACTION))
        self.step(ReissuanceSent(DUE, ASSET, DRAFT_ID, "accepted"))

    def confirm(self) -> None:
        self.tip(DUE + 1, "77" * 32, Memory(DUE + 2))
        self.step(ReissuanceSeen(DUE, ASSET, "confirmed", "in block 7"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TracedBench]:
    bench = TracedBench(tmp_path)
    yield bench
    bench.trace.close()


@pytest.fixture
def whole(bench: TracedBench, tmp_path: Path) -> Path:
    """The trace of a reissuance from its plan to its confirmation."""
    bench.plan()
    bench.sign(1, 2)
    bench.send()
    bench.confirm()
    bench.trace.close()
    (folder,) = {file.parent for file in files_of(tmp_path)}
    return folder


def told(trace: Path, *arguments: str) -> list[str]:
    output = CliRunner().invoke(cli, ["explain", str(trace), *arguments], catch_exceptions=False).output
    lines = output.splitlines()
    begins = next(at for at, line in enumerate(lines) if line.startswith("Reissuance"))
    return [line.strip() for line in lines[begins:]]


def test_every_step_is_replayed_and_tells_the_state_of_the_assets_machine(whole: Path) -> None:
    assert replay(whole).steps > 10
    states = [item.after.reissue.get(ASSET) for _, item in read(whole) if isinstance(item, Transition)]
    assert list(dict.fromkeys(states)) == [None, "Draft", "Collect", "Broadcast", "Confirm", "Done"]


def test_it_is_told_in_sentences(whole: Path) -> None:
    heading, *lines = told(whole, "--height", str(DUE))
    assert heading.startswith("Reissuance of asset a5a5a5a5a5.., due at height 6: 700 satoshi, planned 2023-11-14")
    assert lines == [
        "Draft 1d1d1d1d1d.. put forward by 0 (+30), 1 (+10), 2 (-10).",
        "We locked draft 1d1d1d1d1d.. +20 ms.",
        "Signed by 0 (+30), 1 (+40), 2 (+50); missing 3, 4.",
        "Our node's answer to the transaction: accepted.",
        "Confirmed +90 ms: in block 7.",
    ]


def test_what_went_wrong_and_where_it_stood_are_told(bench: TracedBench, tmp_path: Path) -> None:
    bench.plan()
    bench.sign(1)
    bench.hear(3, ReissueDraft(DUE, 0, ASSET, "2e" * 32, b"another draft"))
    bench.trace.close()
    lines = told(tmp_path)
    assert "Draft 2e2e2e2e2e.. put forward by 3 (+50)." in lines
    assert f"Reported +50 ms: other-draft of member 3: {'2e' * 32}, and {DRAFT_ID} is locked here." in lines
    assert lines[-1] == "It was in Collect when this part of the trace ended."


def test_a_reissuance_that_was_put_off_is_told(bench: TracedBench, tmp_path: Path) -> None:
    bench.plan()
    bench.tip(DUE + 3, "99" * 32, Memory(DUE + 4))
    bench.step(ReissuanceSeen(DUE, ASSET, "absent"))
    bench.trace.close()
    assert told(tmp_path)[-1] == "Deferred +50 ms: not confirmed 3 blocks after it fell due."


def test_its_rows_are_counted_from_the_moment_its_machine_is_made(whole: Path) -> None:
    overlay = overlays_of(whole)["reissuance"]
    actions = [edge.action for edge, count in overlay.counts.items() for _ in range(count)]
    for action in ("open_period", "choose_draft", "combine", "send", "note_sent", "note_confirmed"):
        assert actions.count(action) == 1, actions
    assert overlay.times_ms["Collect"] > 0


def test_its_memory_is_kept_and_given_back_in_the_midst_of_it(bench: TracedBench) -> None:
    bench.plan()
    bench.sign(1)
    taken = memory.take(bench.core)
    shelf, store = BodyShelf(), BodyStore()
    text = msgspec.json.encode(memory.write(taken, shelf))
    for body in shelf.take_new():
        store.add(body.sha256, body.size, body.data)
    restored = memory.read_machines(msgspec.json.decode(text), bench.settings, store)
    assert memory.take(restored) == taken
    assert restored.reissuances is not None
    assert restored.reissuances.machines[ASSET].state == "Collect"


def test_the_state_at_a_line_shows_it(whole: Path) -> None:
    (file,) = files_of(whole)
    _, core = replay_until(whole, len(file.read_bytes().splitlines()))
    assert f"reissuance Done of {ASSET}, due at height 6" in view(core)
