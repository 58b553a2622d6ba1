"""The language of the scenarios: faults in a script are named with their place, transcripts are never obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.script import ScriptError, play
from tests.scenarios.wording import members

HEAD = "members 2-of-3\nstart\nrun until all in CollectSigs\n"


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "play.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("dance all", "no command dance"),
        ("expect 0 lock B", "not so of member 0"),
        ("expect 0 silent prevote A r0", "not so of member 0"),
        ("expect all reports fork", "not so of member 0"),
        ("drop letters", "not understood"),
        ("crash 0 before lunch", "no effect lunch"),
        ("node 0 sings", "a node cannot sings"),
        ("expect 0 happy", "no expectation happy"),
        ("run until 0 happy", "no condition happy"),
        ("run until all tip 1000", "not within"),
        ("say 0 signature X r0", "cannot say signature"),
    ],
)
def test_a_line_that_cannot_be_played_is_named_with_what_happened_until_then(
    tmp_path: Path, line: str, fault: str
) -> None:
    with pytest.raises(ScriptError) as caught:
        play(script(tmp_path, f"{HEAD}{line}\n"))
    first, *played = str(caught.value).splitlines()
    assert first.startswith("play.txt:4: ")
    assert fault in first
    assert any("prevote A r0" in text for text in played)


def test_members_come_first(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="the first command must be members"):
        play(script(tmp_path, "start\n"))


def test_a_transcript_is_replaced_and_comments_stay(tmp_path: Path) -> None:
    text = f"# Why\n{HEAD}    an old transcript\n\nexpect all said prevote A r0    # said\n"
    played = play(script(tmp_path, text))
    assert "an old transcript" not in played
    assert played.startswith("# Why\nmembers 2-of-3\nstart\n    ")
    assert played.endswith("\n\nexpect all said prevote A r0    # said\n")
    assert play(script(tmp_path, played)) == played


def test_members_are_written_as_ranges() -> None:
    assert members([0, 1, 2]) == "0-2"
    assert members([4, 0, 2, 3]) == "0,2-4"
    assert members([1]) == "1"
