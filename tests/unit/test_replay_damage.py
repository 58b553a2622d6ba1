"""Whatever is done to a trace is found by its replay, and named with the line."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from fedsm.replay import ReplayError, replay
from fedsm.trace import TraceError
from fedsm.version import __version__
from tests.traces import record, resealed


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("trace"), blocks=1)


@pytest.fixture
def lines(original: Path) -> list[bytes]:
    return original.read_bytes().splitlines(keepends=True)


class Damaged:
    """Writes a trace and has it replayed."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "trace-000001.jsonl"

    def refusal(self, text: bytes, kind: type[TraceError] = TraceError) -> str:
        self.file.write_bytes(text)
        with pytest.raises(kind) as caught:
            replay(self.file)
        line = str(caught.value)
        assert "\n" not in line
        return line.replace(str(self.file), "FILE")


@pytest.fixture
def damaged(tmp_path: Path) -> Damaged:
    return Damaged(tmp_path)


def test_an_untouched_trace_is_identical(original: Path) -> None:
    replayed = replay(original)
    assert replayed.steps > 10
    assert str(replayed).startswith(f"identical: {replayed.steps} steps")


# One byte


def test_a_changed_byte_is_found_on_its_line_wherever_it_is(damaged: Damaged, lines: list[bytes]) -> None:
    choice = random.Random(4)
    # Nothing in the file vouches for its last line ("end"); the one before it is told apart only by its neighbours.
    for number, line in enumerate(lines[:-1], 1):
        for at in choice.sample(range(len(line) - 1), 12):
            other = bytes([line[at] ^ choice.choice((1, 2, 16))])
            changed = line[:at] + other + line[at + 1 :]
            said = damaged.refusal(b"".join([*lines[: number - 1], changed, *lines[number:]]))
            assert re.search(rf"\bline {number}\b", said), (number, at, other, said)


def test_a_changed_count_on_the_last_line_is_found(damaged: Damaged, lines: list[bytes]) -> None:
    end = json.loads(lines[-1])
    other = lines[-1].replace(b'"steps":%d' % end["steps"], b'"steps":%d' % (end["steps"] + 1))
    said = damaged.refusal(b"".join([*lines[:-1], other]))
    assert said == f"FILE line {len(lines)} tells of {end['steps'] + 1} steps, and there are {end['steps']}"


# Whole lines


def test_a_missing_line_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    for number in range(2, len(lines)):
        said = damaged.refusal(b"".join(lines[: number - 1] + lines[number:]))
        assert said == f"FILE line {number} is missing"


def test_missing_lines_are_named(damaged: Damaged, lines: list[bytes]) -> None:
    assert damaged.refusal(b"".join(lines[:4] + lines[7:])) == "FILE lines 5 to 7 are missing"
    assert damaged.refusal(b"".join(lines[1:])) == "FILE does not begin with line 1 but with line 2"


def test_lines_that_are_swapped_or_stand_there_twice_are_named(damaged: Damaged, lines: list[bytes]) -> None:
    swapped = [*lines[:4], lines[5], lines[4], *lines[6:]]
    assert damaged.refusal(b"".join(swapped)) == "FILE lines 5 and 6 are swapped"
    twice = [*lines[:6], *lines[3:]]
    assert damaged.refusal(b"".join(twice)) == "FILE line 4 stands there again after line 6"


def test_a_trace_cut_off_in_a_line_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    text = b"".join(lines)
    assert damaged.refusal(text[:-5]) == "FILE ends in the middle of a line: cut off, or still being written"


def test_a_trace_cut_off_between_lines_is_said_to_have_no_end(damaged: Damaged, lines: list[bytes]) -> None:
    damaged.file.write_bytes(b"".join(lines[:-3]))
    assert "without an end" in str(replay(damaged.file))


# A forger who makes all hashes anew


def step_of(lines: list[bytes], kind: str) -> int:
    """The position of the first step on an event of this type."""
    return next(
        at
        for at, line in enumerate(lines)
        if json.loads(line)["line"] == "step" and json.loads(line)["event"]["type"] == kind
    )


def test_an_effect_that_the_machines_would_not_order_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "tip-changed")
    step = json.loads(lines[at])
    step["effects"][0]["delay_ms"] += 1
    delay_ms = step["effects"][0]["delay_ms"]
    lines[at] = json.dumps(step).encode()
    said = damaged.refusal(resealed(lines), ReplayError)
    assert said.startswith(f"FILE line {at + 1}, the tip ")
    assert said.endswith(
        f"effect 1, setting of the slot timer (height 1, round 0), differs in delay_ms: recorded {delay_ms}, "
        f"replayed {delay_ms - 1}"
    )


def test_a_difference_in_a_trace_of_another_version_names_both(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "tip-changed")
    step = json.loads(lines[at])
    step["effects"][0]["delay_ms"] += 1
    lines[at] = json.dumps(step).encode()
    said = damaged.refusal(resealed(header_with(lines, version="0.0.9")), ReplayError)
    assert said.endswith(f"(written by fedsm 0.0.9, this is {__version__})")


def test_an_effect_that_was_added_or_taken_away_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "tip-changed")
    step = json.loads(lines[at])
    effects = step["effects"]
    lines[at] = json.dumps({**step, "effects": effects[:-1]}).encode()
    said = damaged.refusal(resealed(lines), ReplayError)
    assert f"{len(effects) - 1} effects recorded, {len(effects)} replayed: setting of the resend timer" in said
    assert said.endswith("is new")
    lines[at] = json.dumps({**step, "effects": [*effects, effects[-1]]}).encode()
    assert damaged.refusal(resealed(lines), ReplayError).endswith("is missing")


def test_an_event_that_was_taken_out_is_noticed_by_what_follows(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "block-judged")
    lines[-1] = json.dumps({**json.loads(lines[-1]), "steps": json.loads(lines[-1])["steps"] - 1}).encode()
    said = damaged.refusal(resealed(lines[:at] + lines[at + 1 :]), ReplayError)
    assert re.match(rf"FILE line {at + 1}, .*: before it the machines stood in Propose/Prevoted", said)


def test_a_failure_that_did_not_happen_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "tip-changed")
    lines[at] = json.dumps({**json.loads(lines[at]), "failure": "KeyError: 1"}).encode()
    said = damaged.refusal(resealed(lines), ReplayError)
    assert said.endswith("the failure 'KeyError: 1' is recorded, no failure is replayed")


# Other versions and other files


def header_with(lines: list[bytes], **fields: object) -> list[bytes]:
    return [json.dumps({**json.loads(lines[0]), **fields}).encode(), *lines[1:]]


def test_a_trace_of_other_state_tables_is_named_with_the_version_that_wrote_it(
    damaged: Damaged, lines: list[bytes]
) -> None:
    said = damaged.refusal(resealed(header_with(lines, tables="12" * 32, version="0.0.9")))
    assert said.startswith("FILE was written with other state tables (1212121212121212, fedsm 0.0.9; ours are ")
    assert replay(damaged.file, any_tables=True).steps > 0


def test_a_trace_of_a_newer_version_is_said_to_be_one(damaged: Damaged, lines: list[bytes]) -> None:
    said = damaged.refusal(resealed(header_with(lines, format=2, novelty=True)))
    assert said == "FILE was written by a newer fedsm: its format is 2, this one reads 1"


def test_unknown_fields_are_named(damaged: Damaged, lines: list[bytes]) -> None:
    said = damaged.refusal(resealed(header_with(lines, colour="red")))
    assert said == "FILE line 1 is not of a trace of this version: Object contains unknown field `colour`"
    settings = {**json.loads(lines[0])["settings"], "mood": 1}
    assert "mood" in damaged.refusal(resealed(header_with(lines, settings=settings)))
    at = step_of(lines, "tip-changed")
    step = json.loads(lines[at])
    step["event"]["weather"] = 1
    said = damaged.refusal(resealed([*lines[:at], json.dumps(step).encode(), *lines[at + 1 :]]))
    assert said == f"FILE line {at + 1} does not make sense: unknown field weather"


def test_a_step_that_is_none_is_named(damaged: Damaged, lines: list[bytes]) -> None:
    at = step_of(lines, "tip-changed")
    step = json.loads(lines[at])
    step["event"]["height"] = "high"
    said = damaged.refusal(resealed([*lines[:at], json.dumps(step).encode(), *lines[at + 1 :]]))
    assert said.startswith(f"FILE line {at + 1} does not make sense: Expected `int`, got `str`")


@pytest.mark.parametrize(
    "text",
    [b"\x00\x01\xff" * 100, b"hello\n", b"{}\n", b"[1, 2]\n", b'{"line":"header"}\n', b'{"prev":"","n":1}\n',
     b"\n\n", b"[" * 100_000 + b"\n", b'{"line":"header","prev":"00","n":1,"format":"x"}\n'],
)  # fmt: skip
def test_a_file_that_is_no_trace_is_called_that(damaged: Damaged, text: bytes) -> None:
    assert damaged.refusal(text).startswith("FILE is not a trace of fedsm: ")


def test_an_empty_file_is_called_empty(damaged: Damaged) -> None:
    assert damaged.refusal(b"") == "FILE is empty"
