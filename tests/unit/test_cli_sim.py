"""fedsm sim: all is well, or the violation, the command that shows it again and traces that replay."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedsm.errors import FedsmError
from fedsm.replay import replay
from fedsm.simulator.plan import faults_of
from fedsm.simulator.seeds import plan_of, read_seeds
from tests.unit.cli_runner import CommandLine

BROKEN = ("--members", "3-of-5", "--hostile", "1", "--rounds", "300")  # one liar is one too many


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch)


def test_all_is_well(command: CommandLine) -> None:
    result = command.invoke("sim", "--members", "2-of-3", "--rounds", "60", "--seed", "5")
    assert result.exit_code == 0, result.output
    found = re.search(r"seeds 5 to (\d+): (\d+) rounds in (\d+) runs, (\d+) blocks", result.output)
    assert found is not None
    last, rounds, runs, blocks = map(int, found.groups())
    assert rounds >= 60
    assert runs == last - 4
    assert blocks > 0
    assert "faults: " in result.output


def test_what_is_found_is_shown_again_by_the_command_that_is_told(command: CommandLine, tmp_path: Path) -> None:
    result = command.invoke("sim", *BROKEN, "--keep", "seeds.txt")
    assert isinstance(result.exception, FedsmError)
    assert "two-decisions" in str(result.exception)
    again = re.search(r"^again:  (fedsm sim .*)$", result.output, re.MULTILINE)
    assert again is not None
    assert read_seeds(tmp_path / "seeds.txt") == [plan_of(again[1])]
    directory = tmp_path / re.search(r"^traces: (.*)$", result.output, re.MULTILINE)[1]  # type: ignore[index]
    members = sorted(directory.iterdir())
    assert len(members) == 4  # the liar's machines do not run
    assert all(replay(member).steps > 0 for member in members)
    repeated = command.invoke(*again[1].split()[1:], "--keep", "seeds.txt")
    assert str(repeated.exception) == str(result.exception)
    assert "in 1 runs" in repeated.output
    assert len(read_seeds(tmp_path / "seeds.txt")) == 1


def test_time_may_be_asked_for_in_place_of_rounds(command: CommandLine) -> None:
    result = command.invoke("sim", "--members", "1-of-1", "--rounds", "5", "--seconds", "0.2")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--members", "5"), "'5' is no federation: it is written as in 3-of-5"),
        (("--members", "4-of-3"), "'4-of-3' is no federation: 1 <= M <= N <= 20"),
        (("--members", "3-of-5", "--quorum", "2"), "vote quorum Q is 2"),
        (("--faults", "loss,rain"), "no kind of fault is called 'rain'; there are loss, duplicate"),
        (("--hostile", "6"), "--hostile 6: there are 5 members"),
    ],
)
def test_options_that_make_no_sense_are_named(command: CommandLine, options: tuple[str, ...], line: str) -> None:
    assert line in command.refusal("sim", *options)


@pytest.mark.parametrize("line", ["fedsm run", "fedsm sim --seed 1", "fedsm sim --seed x --members 2-of-3"])
def test_a_line_of_a_list_that_is_no_run_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "seeds.txt").write_text(f"# runs\n{line}\n", encoding="utf-8")
    with pytest.raises(FedsmError, match=r"seeds.txt:2: "):
        read_seeds(tmp_path / "seeds.txt")


def test_kinds_of_faults_are_named_by_all_none_or_a_list() -> None:
    assert "loss" in faults_of("all")
    assert faults_of("none") == frozenset()
    assert faults_of("loss, clock") == {"loss", "clock"}
