"""fedsm trace to-test: one height of a trace becomes a scenario that the tests replay from then on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedsm.cli import cli
from fedsm.errors import FedsmError
from fedsm.replay import ReplayError
from fedsm.trace import TraceError, Transition, read
from fedsm.trace.regression import record_anew
from states.events import Received, TipChanged
from tests.scenarios.test_scenarios import check_recorded
from tests.traces import Recording, resealed


def to_test(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["trace", "to-test", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Height 2 begins with member 4 still at height 1; the first messages of height 3 come before its tip."""
    directory = tmp_path_factory.mktemp("trace")
    with Recording(directory, 5, 3) as recording:
        cluster = recording.cluster
        cluster.members[4].crash()
        recording.grow(1)
        cluster.restart(4)
        recording.grow(1)
        cluster.members[3].crash()
        cluster.run_for(1500)
        recording.wait_written()
    return directory


def test_a_height_becomes_a_scenario_that_passes(trace: Path, tmp_path: Path) -> None:
    said = to_test(trace, "--height", "3", "--directory", tmp_path)
    path = tmp_path / "height-3-member-0.trace.jsonl"
    steps = [item for _, item in read(path) if isinstance(item, Transition)]
    assert said.startswith(f"wrote {path}: {len(steps)} steps")
    assert isinstance(steps[0].event, TipChanged)
    assert (steps[0].after.height, steps[-1].after.height) == (3, 4)
    assert len({step.event.sender for step in steps if isinstance(step.event, Received)}) == 5
    check_recorded(path)


def test_a_scenario_that_depends_on_earlier_heights_says_so_and_passes(trace: Path, tmp_path: Path) -> None:
    said = to_test(trace, "--height", "2", "--directory", tmp_path, "--name", "closing")
    assert "other effects than recorded, first on " in said
    check_recorded(tmp_path / "closing.trace.jsonl")


def test_a_scenario_fails_when_the_machines_do_something_else_and_can_be_recorded_anew(
    trace: Path, tmp_path: Path
) -> None:
    to_test(trace, "--height", "2", "--directory", tmp_path, "--name", "one")
    path = tmp_path / "one.trace.jsonl"
    genuine = path.read_bytes()
    assert record_anew(path).text == genuine
    lines = genuine.splitlines()
    step = json.loads(lines[1])
    step["effects"][0]["delay_ms"] += 1
    path.write_bytes(resealed([lines[0], json.dumps(step).encode(), *lines[2:]]))
    with pytest.raises(ReplayError, match=f"{path} line 2, .* differs in delay_ms"):
        check_recorded(path)
    assert record_anew(path).text == genuine


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(FedsmError) as caught:
        to_test(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_made_a_scenario_is_refused_in_one_line(trace: Path, tmp_path: Path) -> None:
    assert refusal(trace, "--height", "9", "--directory", tmp_path) == (
        f"{trace} does not have the beginning of height 9"
    )
    assert "--name ../x: a name is made of" in refusal(trace, "--height", "2", "--name", "../x")
    assert "there is no folder" in refusal(trace, "--height", "2", "--directory", tmp_path / "none")
    to_test(trace, "--height", "2", "--directory", tmp_path)
    assert refusal(trace, "--height", "2", "--directory", tmp_path).endswith("exists: give another --name")
    assert list(tmp_path.iterdir()) == [tmp_path / "height-2-member-0.trace.jsonl"]


def test_only_a_scenario_can_be_recorded_anew(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no trace\n", encoding="utf-8")
    with pytest.raises(TraceError, match="is not a trace"):
        record_anew(tmp_path / "file")
