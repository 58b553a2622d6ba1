"""fedsm guard: what a key has done, shown, taken away and brought back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedsm.config import guard_path
from signers.guard import Guard
from tests.unit.cli_runner import CommandLine
from tests.unit.guard_cases import CHAIN, OTHER_SIGNER, SIGNER, A, B, decision, lock, open_guard, sign, vote

KEY = SIGNER.public_key


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data directory whose guard closed height 1, signed block A at 2 and is locked on B at 3."""
    path = guard_path(tmp_path / "data", CHAIN, KEY)
    path.parent.mkdir(parents=True)
    with open_guard(path) as guard:
        guard.record([vote("prevote", 2, 0, A), lock(2, 0, A), vote("precommit", 2, 0, A), decision(2, 0, A)])
        sign(guard, 2, A)
        guard.record([vote("prevote", 3, 1, B), lock(3, 1, B), vote("precommit", 3, 1, B)])
        guard.close_height(1)
    return tmp_path / "data"


def printed(command: CommandLine, *arguments: str) -> str:
    result = command.invoke("guard", *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_show_tells_whose_guard_it_is_and_what_it_holds(command: CommandLine, used: Path) -> None:
    lines = printed(command, "show", str(guard_path(used, CHAIN, KEY))).splitlines()
    assert lines[:3] == [
        f"chain       {CHAIN}",
        f"key         {KEY.hex()}",
        "mark        1 (heights up to here are closed)",
    ]
    assert f"vote        height 3 round 1 precommit {B}" in lines
    assert f"lock        height 3 round 1 {B}" in lines
    assert f"decided     height 2 {A}" in lines
    assert f"signed      height 2 {A}" in lines
    assert lines[-1] == "signatures  1 kept"


def test_show_of_an_empty_guard(command: CommandLine, tmp_path: Path) -> None:
    open_guard(tmp_path / "guard.sqlite").close()
    lines = printed(command, "show", str(tmp_path / "guard.sqlite")).splitlines()
    assert lines[2:] == ["mark        none", "signatures  0 kept"]


def test_the_only_guard_below_the_data_directory_is_found(command: CommandLine, used: Path) -> None:
    assert CHAIN in printed(command, "show", "--datadir", str(used))
    result = command.invoke("guard", "show", FEDSM_DATADIR=str(used))
    assert CHAIN in result.stdout


def test_none_or_several_guards_must_be_named(command: CommandLine, used: Path, tmp_path: Path) -> None:
    assert "there is none" in command.refusal("guard", "show", "--datadir", str(tmp_path / "empty"))
    other = guard_path(used, CHAIN, OTHER_SIGNER.public_key)
    other.parent.mkdir(parents=True)
    Guard.open(other, CHAIN, OTHER_SIGNER.public_key).close()
    line = command.refusal("guard", "export", "--datadir", str(used))
    assert str(other) in line
    assert str(guard_path(used, CHAIN, KEY)) in line


def test_a_guard_brought_to_another_machine_is_the_same(command: CommandLine, used: Path, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(printed(command, "export", "--datadir", str(used)), encoding="utf-8")
    target = guard_path(tmp_path / "new", CHAIN, KEY)
    assert (
        printed(command, "import", str(export), "--datadir", str(tmp_path / "new")) == f"imported into {target}\n"
    )
    again = printed(command, "export", "--datadir", str(tmp_path / "new"))
    assert json.loads(again) == json.loads(export.read_text(encoding="utf-8"))
    with open_guard(target) as guard:
        assert guard.mark == 1
        assert not guard.restore(3).fresh


def test_an_import_never_lowers_a_mark_and_may_be_repeated(
    command: CommandLine, used: Path, tmp_path: Path
) -> None:
    export = tmp_path / "export.json"
    path = guard_path(used, CHAIN, KEY)
    export.write_text(printed(command, "export", str(path)), encoding="utf-8")
    with open_guard(path) as guard:
        guard.close_height(5)
    printed(command, "import", str(export), str(path))
    with open_guard(path) as guard:
        assert guard.mark == 5


def test_an_export_that_contradicts_the_guard_is_refused_whole(
    command: CommandLine, used: Path, tmp_path: Path
) -> None:
    export = tmp_path / "export.json"
    other = tmp_path / "other" / "guard.sqlite"
    other.parent.mkdir()
    with open_guard(other) as guard:
        guard.record([vote("prevote", 3, 1, A), vote("prevote", 4, 0, A)])
    export.write_text(printed(command, "export", str(other)), encoding="utf-8")
    before = printed(command, "export", "--datadir", str(used))
    line = command.refusal("guard", "import", str(export), "--datadir", str(used))
    assert line.startswith("nothing was imported: ")
    assert "height 3 round 1 prevote" in line
    assert printed(command, "export", "--datadir", str(used)) == before


@pytest.mark.parametrize(
    "content",
    [
        "",
        "garbage",
        "[]",
        "{}",
        '{"chain": "00"}',
        '{"chain": 1, "public_key": "xyz"}',
        '{"chain": 1, "public_key": 2}',
    ],
)
def test_a_file_that_is_no_export_is_refused(command: CommandLine, tmp_path: Path, content: str) -> None:
    source = tmp_path / "export.json"
    source.write_text(content, encoding="utf-8")
    line = command.refusal("guard", "import", str(source), "--datadir", str(tmp_path / "data"))
    assert f"{source} is not a guard export" in line
    assert not (tmp_path / "data").exists()


def test_a_chain_in_an_export_never_becomes_a_path_unchecked(command: CommandLine, tmp_path: Path) -> None:
    source = tmp_path / "export.json"
    source.write_text(json.dumps({"chain": "../../escaped", "public_key": KEY.hex()}), encoding="utf-8")
    line = command.refusal("guard", "import", str(source), "--datadir", str(tmp_path / "a" / "b" / "data"))
    assert "not a block hash" in line
    assert sorted(tmp_path.iterdir()) == [source]


def test_a_data_directory_that_cannot_be_made_is_told(command: CommandLine, used: Path, tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    export.write_text(printed(command, "export", "--datadir", str(used)), encoding="utf-8")
    (tmp_path / "file").touch()
    line = command.refusal("guard", "import", str(export), "--datadir", str(tmp_path / "file"))
    assert line.startswith("nothing was imported: ")


def test_a_guard_in_use_is_left_alone(command: CommandLine, used: Path, tmp_path: Path) -> None:
    path = guard_path(used, CHAIN, KEY)
    export = tmp_path / "export.json"
    export.write_text(printed(command, "export", str(path)), encoding="utf-8")
    with open_guard(path):
        assert "in use" in command.refusal("guard", "show", str(path))
        assert "in use" in command.refusal("guard", "export", str(path))
        assert "in use" in command.refusal("guard", "import", str(export), str(path))


def test_a_guard_that_is_not_there_or_damaged_is_told(command: CommandLine, tmp_path: Path) -> None:
    assert "there is no guard file" in command.refusal("guard", "show", str(tmp_path / "guard.sqlite"))
    (tmp_path / "guard.sqlite").write_bytes(b"garbage" * 1000)
    assert "is damaged" in command.refusal("guard", "show", str(tmp_path / "guard.sqlite"))
