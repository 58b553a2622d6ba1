"""Flag over variable over file over default, and a file whose every mistake is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsm.chains.base import ProposedParameters
from tests.elements_vectors import load
from tests.unit.cli_runner import NODES, CommandLine

ROTATION = load("rotation")["chains"][0]
NEXT = ROTATION["federations"][1]
PARAMETERS = ROTATION["proposals"]["fed1"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fedsm.toml"


def write(file: Path, *lines: str) -> str:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_a_file_alone_can_say_everything(command: CommandLine, file: Path) -> None:
    path = write(
        file,
        "id = 2",
        f'nodes = "{NODES}"',
        'rpcconnect = "10.0.0.1"',
        "rpcport = 18443",
        'rpcuser = "alice"',
        'rpcpassword = "hunter2"',
        "blocktime = 2",
        "key-file = 'member.key'",
        "min_tx_age = 3",
        "hsm = false",
    )
    config = command.config("--config", path)
    assert (config.member, config.nodes, config.interval_ms, config.min_tx_age_s) == (2, NODES, 2000, 3)
    assert (config.node.host, config.node.port, config.node.user) == ("10.0.0.1", 18443, "alice")
    assert config.key_file == Path("member.key")


def test_a_flag_comes_before_a_variable_and_that_before_the_file_and_that_before_the_default(
    command: CommandLine, file: Path
) -> None:
    path = write(file, "id = 2", f'nodes = "{NODES}"', "blocktime = 20")
    assert command.config("--id", "2", "--nodes", NODES).interval_ms == 60_000
    assert command.config("--config", path).interval_ms == 20_000
    assert command.config("--config", path, FEDSM_BLOCKTIME="30").interval_ms == 30_000
    assert command.config("--config", path, "--blocktime", "40", FEDSM_BLOCKTIME="30").interval_ms == 40_000


def test_variables_alone_can_say_everything(command: CommandLine, file: Path) -> None:
    path = write(file, "rpcport = 18443")
    config = command.config("run", FEDSM_ID="1", FEDSM_NODES=NODES, FEDSM_CONFIG=path, FEDSM_KEY_FILE="k")
    assert (config.member, config.nodes, config.node.port, config.key_file) == (1, NODES, 18443, Path("k"))


@pytest.mark.parametrize(
    ("name", "value"), [("rpconnect", '"10.0.0.1"'), ("msg_type", '"zmq"'), ("rpcpass", '"hunter2"')]
)
def test_the_old_spellings_are_settings_too(command: CommandLine, file: Path, name: str, value: str) -> None:
    command.config("--config", write(file, "id = 1", f'nodes = "{NODES}"', f"{name} = {value}"))


@pytest.mark.parametrize("name", ["rpcprot", "member", "config", "help", "proposed_parameter"])
def test_an_unknown_setting_is_refused_by_name(command: CommandLine, file: Path, name: str) -> None:
    line = command.refusal("--config", write(file, "id = 1", f"{name} = 1"))
    assert line == f"{file}: unknown setting {name}"


def test_settings_in_a_table_of_their_own_are_unknown(command: CommandLine, file: Path) -> None:
    assert "unknown setting node" in command.refusal("--config", write(file, "[node]", "rpcport = 1"))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('id = "1"', "a whole number"),
        ("id = true", "a whole number"),
        ("rpcport = 7041.9", "a whole number"),
        ('blocktime = "60"', "a number"),
        ("blocktime = true", "a number"),
        ("blocktime = 2024-01-01", "a number"),
        ("nodes = ['a:1', 'b:2']", "a string"),
        ("rpcuser = 5", "a string"),
        ("key-file = 5", "a string"),
        ("hsm = 1", "true or false"),
        ('hsm = "0"', "true or false"),
        ("msgtype = 0", "a string"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_by_name(
    command: CommandLine, file: Path, line: str, kind: str
) -> None:
    refusal = command.refusal("--config", write(file, line))
    assert refusal.startswith(f"{file}: {line.split(' ', maxsplit=1)[0]} must be {kind}, not ")


def test_a_setting_out_of_range_is_refused_by_name(command: CommandLine, file: Path) -> None:
    path = write(file, "id = 1", f'nodes = "{NODES}"', "rpcport = 99999")
    assert "--rpcport" in command.usage("--config", path)
    path = write(file, "id = 1", f'nodes = "{NODES}"', "blocktime = 0")
    assert "--blocktime" in command.refusal("--config", path)


def test_a_file_that_is_not_toml_is_refused_with_the_place(command: CommandLine, file: Path) -> None:
    assert "line 1" in command.refusal("--config", write(file, "id = "))
    file.write_bytes(b"\xff\xfe")
    assert str(file) in command.refusal("--config", str(file))


def test_a_file_that_is_not_there_is_refused(command: CommandLine, file: Path) -> None:
    assert str(file) in command.usage("--config", str(file))


# The one dynafed proposal that a member makes and accepts


def proposed(file: Path, **changes: str) -> str:
    fields = {
        "script": f'"{NEXT["script"]}"',
        "max_block_witness": "400",
        "fedpegscript": f'"{PARAMETERS["fedpegscript"]}"',
        "extension_space": "[" + ", ".join(f'"{entry}"' for entry in PARAMETERS["extension_space"]) + "]",
    } | changes
    settings = [f"{name} = {value}" for name, value in fields.items() if value]
    return write(file, "id = 1", f'nodes = "{NODES}"', "[proposed_parameters]", *settings)


def test_proposed_parameters_name_the_next_federation_by_its_script(command: CommandLine, file: Path) -> None:
    config = command.config("--config", proposed(file))
    assert config.proposed == ProposedParameters(
        bytes.fromhex(NEXT["p2wsh"]),
        400,
        bytes.fromhex(PARAMETERS["fedpegscript"]),
        tuple(bytes.fromhex(entry) for entry in PARAMETERS["extension_space"]),
    )


def test_a_witness_limit_that_would_stop_the_chain_for_ever_is_refused(command: CommandLine, file: Path) -> None:
    needed = NEXT["exact_worst_case_witness"]
    assert command.config("--config", proposed(file, max_block_witness=str(needed))).proposed
    line = command.refusal("--config", proposed(file, max_block_witness=str(needed - 1)))
    assert f"can take {needed} bytes" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"script": '"00"'},
        {"script": '"not hex"'},
        {"script": "5"},
        {"fedpegscript": ""},
        {"extension_space": '"0203"'},
        {"extension_space": "[1]"},
        {"surplus": "1"},
        {"max_block_witness": '"many"'},
    ],
)
def test_malformed_proposed_parameters_are_refused(
    command: CommandLine, file: Path, changes: dict[str, str]
) -> None:
    assert "[proposed_parameters]" in command.refusal("--config", proposed(file, **changes))


def test_proposed_parameters_must_be_a_table(command: CommandLine, file: Path) -> None:
    path = write(file, "id = 1", f'nodes = "{NODES}"', "proposed_parameters = 1")
    assert "[proposed_parameters] must hold exactly" in command.refusal("--config", path)
