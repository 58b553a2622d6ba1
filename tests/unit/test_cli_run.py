"""fedsm run: the old daemon's command lines, the new flags, and what is said about what is not there."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from fedsm.chains.base import ClockWindow
from fedsm.chains.script import parse_multisig
from fedsm.config import DaemonConfig, NodeAccess
from states.amounts import Inflation
from tests.elements_vectors import load
from tests.unit.cli_runner import ACCESS, NODES, CommandLine

MINIMAL = ("--id", "1", "--nodes", NODES)
SCRIPT = load("blocks_predynafed")["chains"][0]["signblockscript"]
# A 1-of-1 script, so that it is short.
KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
INFLATION = (
    *("--inflationrate", "0.0101010101010101", "--inflationperiod", "60", "--inflationaddress", "2dZRkPX"),
    *("--reissuancescript", f"5121{KEY}51ae", "--reissuanceprivkey", "cVsecretsecret"),
)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


# Command lines of the old daemon


@pytest.mark.parametrize(
    "spelling",
    [
        ("--rpconnect", "10.0.0.1", "--rpcport", "18443", "--rpcuser", "alice", "--rpcpassword", "hunter2"),
        ("--rpcconnect", "10.0.0.1", "--rpcport", "18443", "--rpcuser", "alice", "--rpcpass", "hunter2"),
        ("--rpcconnect", "10.0.0.1", "--rpocport", "18443", "--rpcuser", "alice", "--rpcpass", "hunter2"),
        ("--rpconnect=10.0.0.1", "--rpcport=18443", "--rpcuser=alice", "--rpcpassword=hunter2"),
    ],
)
@pytest.mark.parametrize("messenger", [("--msgtype", "zmq"), ("--msg_type", "zmq"), ("--msgtype=zmq",), ()])
def test_the_old_flags_are_taken_in_every_spelling(
    command: CommandLine, spelling: tuple[str, ...], messenger: tuple[str, ...]
) -> None:
    config = command.config(*spelling, "--id", "1", *messenger, "--nodes", NODES)
    assert config == DaemonConfig(member=1, nodes=NODES, node=NodeAccess("10.0.0.1", 18443, "alice", "hunter2"))


def test_the_inflation_flags_of_the_old_daemon_make_a_schedule(command: CommandLine) -> None:
    config = command.config(*MINIMAL, *INFLATION, "--blocktime", "30", "--log-format", "json")
    assert config.reissue is not None
    assert config.reissue.inflation == Inflation("0.0101010101010101", 60, 30_000)
    assert (config.reissue.address, config.reissue.key) == ("2dZRkPX", "cVsecretsecret")
    assert config.reissue.multisig == parse_multisig(bytes.fromhex(INFLATION[7]))
    assert not config.reissue.halt
    assert "cVsecretsecret" not in command.output
    assert "cVsecretsecret" not in repr(config)


def test_without_a_rate_nothing_is_reissued(command: CommandLine) -> None:
    config = command.config(*MINIMAL, "--inflationrate", "0", "--inflationperiod", "60", "--log-format", "json")
    assert config.reissue is None
    assert command.output == ""


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (("--inflationrate", "101"), "--inflationrate 101: the rate is 101; it must be above 0 and at most 100"),
        (("--inflationrate", "-0.1"), "--inflationrate -0.1: the rate '-0.1' is not a decimal number such as 0.05"),
        (("--inflationperiod", "1"), "--inflationperiod 1: a period has at least 2 blocks"),
        (("--inflationaddress", ""), "--inflationaddress is missing: with --inflationrate above 0 it is needed"),
        (
            ("--reissuancescript", "51"),
            "--reissuancescript: not a multisig script: it does not end in OP_CHECKMULTISIG",
        ),
    ],
)
def test_a_wrong_schedule_is_said_in_one_line_and_blocks_are_signed_all_the_same(
    command: CommandLine, changed: tuple[str, str], line: str
) -> None:
    config = command.config(*MINIMAL, *INFLATION, *changed, "--log-format", "json")
    assert config.reissue is None
    lines = [json.loads(text) for text in command.output.splitlines() if text]
    assert [entry["detail"] for entry in lines if entry["event"] == "reissuance_off"] == [line]
    assert command.refusal(*MINIMAL, *INFLATION, *changed, "--on-reissue-failure", "halt") == line


def test_the_file_holds_the_operators_own_limits(command: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "fedsm.toml"
    file.write_text(
        f"""inflationrate = 0.05
        [reissuance]
        assets = ["{"ab" * 32}"]
        max-rate = 0.1
        max-amount = "1000.5"
        destination = "2dZRkPX"
        script-type = "p2sh"
        key-file = "/etc/fedsm/reissuance.key"
        fee-rate = 200
        """
    )
    config = command.config(*MINIMAL, *INFLATION[2:], "--config", str(file)).reissue
    assert config is not None
    assert (config.inflation.rate, config.fee_rate, config.script_type) == ("0.05", 200, "p2sh")
    assert (config.assets, config.max_rate) == (frozenset({"ab" * 32}), Fraction(1, 10))
    assert (config.max_amount, config.only_address) == (100_050_000_000, "2dZRkPX")
    assert config.key_file == Path("/etc/fedsm/reissuance.key")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('limit = "5"', "unknown field `limit`"),
        ('assets = ["gold"]', "'gold' is not an asset id"),
        ("max-amount = 0", "max-amount 0: it must be above 0"),
        ("max-amount = 21000001", "at most 21000000"),
        ("max-amount = 0.000000001", "with 8 places"),
        ("max-rate = 0", "max-rate 0: the rate is 0"),
        ("fee-rate = -1", "fee-rate -1: it must lie between 0 and 1000000"),
        ('script-type = "p2tr"', "script-type"),
    ],
)
def test_a_wrong_limit_is_named(command: CommandLine, tmp_path: Path, setting: str, named: str) -> None:
    file = tmp_path / "fedsm.toml"
    file.write_text(f"[reissuance]\n{setting}\n")
    halting = (*MINIMAL, *INFLATION, "--config", str(file), "--on-reissue-failure", "halt")
    line = command.refusal(*halting)
    assert line.startswith("[reissuance]")
    assert named in line


def test_fedsm_with_flags_is_fedsm_run(command: CommandLine) -> None:
    given = (*MINIMAL, *ACCESS, "--blocktime", "30", "--quorum", "3")
    assert command.config(*given) == command.config("run", *given)
    assert command.config("--nodes=" + NODES, "--id=1") == command.config("run", *MINIMAL)


def test_the_groups_own_flags_are_not_the_daemons(command: CommandLine) -> None:
    assert command.invoke("--version").output.startswith("fedsm, version ")
    for flag in ("-h", "--help"):
        assert "inspect-block" in command.invoke(flag).output
    assert "--blocktime" in command.invoke("--id", "1", "--help").output


# The flags of fedsm


def test_every_flag_reaches_the_daemon(command: CommandLine, tmp_path: Path) -> None:
    config = command.config(
        "run", *MINIMAL,
        "--rpccookiefile", str(tmp_path / ".cookie"), "--rpcwallet", "signer",
        "--blocktime", "2.5", "--key-file", str(tmp_path / "key"), "--datadir", str(tmp_path),
        "--quorum", "3", "--signblockscript", SCRIPT, "--min-tx-age", "5", "--max-past", "60", "--max-future", "30",
    )  # fmt: skip
    assert config == DaemonConfig(
        member=1,
        nodes=NODES,
        node=NodeAccess(cookie_file=tmp_path / ".cookie", wallet="signer"),
        interval_ms=2500,
        data_directory=tmp_path,
        key_file=tmp_path / "key",
        vote_quorum=3,
        witness_script=bytes.fromhex(SCRIPT),
        min_tx_age_s=5,
        window=ClockWindow(60_000, 30_000),
    )


def test_what_is_not_said_is_the_default(command: CommandLine) -> None:
    assert command.config(*MINIMAL) == DaemonConfig(member=1, nodes=NODES)


@pytest.mark.parametrize("seconds", ["0", "0.04", "-1", "86401", "nan", "inf"])
def test_a_block_time_out_of_range_is_refused(command: CommandLine, seconds: str) -> None:
    assert "between 0.05 s and a day" in command.refusal(*MINIMAL, f"--blocktime={seconds}")


@pytest.mark.parametrize("script", ["xyz", "51", SCRIPT[:-2]])
def test_a_script_that_is_no_multisig_is_refused(command: CommandLine, script: str) -> None:
    assert command.refusal(*MINIMAL, "--signblockscript", script).startswith("--signblockscript: ")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--id", "-1"), ("--id", "one"), ("--rpcport", "0"), ("--rpcport", "70000"), ("--quorum", "0"),
     ("--blocktime", "soon"), ("--msgtype", "smoke"), ("--hsm", "perhaps"), ("--log-level", "all"),
     ("--min-tx-age", "-1"), ("--max-past", "0"), ("--inflationrate", "much")],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_by_flag(command: CommandLine, flag: str, value: str) -> None:
    assert flag in command.usage("run", *MINIMAL, f"{flag}={value}")


def test_a_missing_id_and_an_unknown_flag_are_named(command: CommandLine) -> None:
    assert "--id" in command.usage("--nodes", NODES)
    assert "--blocktme" in command.usage(*MINIMAL, "--blocktme", "1")


# Secrets


def test_secrets_on_the_command_line_warn_once_each_and_never_show(command: CommandLine) -> None:
    command.config(
        *MINIMAL, "--rpcuser", "alice", "--rpcpassword", "hunter2", "--reissuanceprivkey", "cVsecretsecret",
        "--log-format", "json",
    )  # fmt: skip
    warned = [json.loads(line) for line in command.output.splitlines()]
    assert [(line["event"], line["option"]) for line in warned] == [
        ("secret_on_command_line", "--rpcpassword"),
        ("secret_on_command_line", "--reissuanceprivkey"),
    ]
    assert "hunter2" not in command.output
    assert "cVsecretsecret" not in command.output


def test_secrets_from_variables_and_files_do_not_warn(command: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "fedsm.toml"
    file.write_text('rpcpassword = "hunter2"\n', encoding="utf-8")
    config = command.config(*MINIMAL, "--config", str(file), "--rpcuser", "alice", "--log-format", "json")
    assert config.node.password == "hunter2"
    assert command.output == ""
    config = command.config(*MINIMAL, "--rpcuser", "alice", "--log-format", "json", FEDSM_RPCPASSWORD="hunter3")
    assert config.node.password == "hunter3"
    assert command.output == ""


def test_a_password_does_not_show_in_the_configurations_own_words(command: CommandLine) -> None:
    assert "hunter2" not in repr(command.config(*MINIMAL, *ACCESS))
