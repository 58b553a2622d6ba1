"""The options about links: which transport a command line means, and what is refused with its name."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedsm.cli import cli
from fedsm.demo.cast import demo_secrets
from fedsm.federation_file import load
from signers.software import SoftwareSigner
from tests.unit.cli_runner import CommandLine
from transports.curve import load_key_file, make_pair
from transports.kafka_settings import KafkaSasl, KafkaServer, KafkaTls

NODES = "a:1,b:2,c:3"
KEYS = [SoftwareSigner(secret).public_key.hex() for secret in demo_secrets(3, "links")]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch)


@pytest.fixture
def federation_file(tmp_path: Path) -> Path:
    lines = [f'chain = "{"ab" * 32}"', "threshold = 2", "interval = 30", "quorum = 3"]
    for i, key in enumerate(KEYS):
        lines += ["[[member]]", f"id = {i}", f'public_key = "{key}"', f'address = "host{i}:7000"']
    path = tmp_path / "federation.toml"
    path.write_text("\n".join(lines))
    return path


def test_without_msgtype_known_addresses_mean_zmq_and_unknown_ones_kafka(
    command: CommandLine, federation_file: Path
) -> None:
    assert command.config("--id", "1", "--nodes", NODES).transports == ("zmq",)
    assert command.config("--id", "1", "--federation", str(federation_file)).transports == ("zmq",)
    old = command.config("--id", "1")
    assert old.transports == ("kafka",)
    assert old.kafka is not None
    assert old.kafka.servers == (KafkaServer("kafka", 9092),)


@pytest.mark.parametrize("flag", ["--msgtype", "--msg_type"])
def test_msgtype_says_which_transports_run(command: CommandLine, flag: str) -> None:
    assert command.config("--id", "1", flag, "kafka", "--nodes", NODES).transports == ("kafka",)
    both = command.config("--id", "1", flag, "both", "--nodes", NODES, "--kafka", "k1:1,k2:2")
    assert both.transports == ("zmq", "kafka")
    assert both.kafka is not None
    assert [server.port for server in both.kafka.servers] == [1, 2]
    assert "--nodes is missing" in command.refusal("--id", "1", flag, "zmq")
    assert "--nodes is missing" in command.refusal("--id", "1", flag, "both")


def test_every_kafka_flag_reaches_the_transport(command: CommandLine, tmp_path: Path) -> None:
    config = command.config(
        "--id", "1", "--kafka", "k:1", "--kafka-prefix", "main-", "--kafka-retention", "60", "--kafka-tls",
        "--kafka-ca-file", str(tmp_path / "ca"), "--kafka-cert-file", str(tmp_path / "cert"),
        "--kafka-cert-key-file", str(tmp_path / "key"), "--kafka-sasl", "SCRAM-SHA-512",
        "--kafka-user", "alice", FEDSM_KAFKA_PASSWORD="hunter2",
    )  # fmt: skip
    kafka = config.kafka
    assert kafka is not None
    assert (kafka.prefix, kafka.retention_ms) == ("main-", 60_000)
    assert kafka.tls == KafkaTls(tmp_path / "ca", tmp_path / "cert", tmp_path / "key")
    assert kafka.sasl == KafkaSasl("SCRAM-SHA-512", "alice", "hunter2")
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--kafka", "no broker"), "no broker"),
        (("--kafka-prefix", "a b"), "a b"),
        (("--kafka-retention", "0.1"), "retention"),
        (("--kafka-ca-file", "ca"), "--kafka-tls"),
        (("--kafka-user", "alice"), "--kafka-sasl"),
        (("--kafka-sasl", "PLAIN"), "needs a user and a password"),
    ],
)
def test_what_is_wrong_with_kafka_is_named(command: CommandLine, flags: tuple[str, ...], named: str) -> None:
    assert named in command.refusal("--id", "1", *flags)


def test_the_federation_file_gives_addresses_interval_and_quorum(
    command: CommandLine, federation_file: Path
) -> None:
    config = command.config("--id", "1", "--federation", str(federation_file))
    assert config.nodes == "host0:7000,host1:7000,host2:7000"
    assert (config.interval_ms, config.vote_quorum) == (30_000, 3)
    assert config.federation == load(federation_file)
    here = command.config("--id", "1", "--federation", str(federation_file), "--nodes", "*:1,host1:7000,host2:7000")
    assert here.nodes.startswith("*:1,")


def test_a_flag_that_contradicts_the_federation_file_is_refused(
    command: CommandLine, federation_file: Path
) -> None:
    given = ("--id", "1", "--federation", str(federation_file))
    assert "--blocktime 60 contradicts" in command.refusal(*given, "--blocktime", "60")
    assert "--quorum 2 contradicts" in command.refusal(*given, "--quorum", "2")
    assert command.config(*given, "--blocktime", "30", "--quorum", "3").interval_ms == 30_000


def test_keygen_transport_makes_a_curve_key_and_never_overwrites_it(tmp_path: Path) -> None:
    path = tmp_path / "member.curve"
    made = CliRunner().invoke(cli, ["keygen", "--transport", str(path)])
    assert made.exit_code == 0
    assert load_key_file(path).public_text == made.output.strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = CliRunner().invoke(cli, ["keygen", "--transport", str(path)])
    assert again.exit_code != 0
    assert "exists already" in str(again.exception)
    assert load_key_file(path).public_text == made.output.strip()


def test_federation_shows_the_digest_of_the_file(federation_file: Path) -> None:
    shown = CliRunner().invoke(cli, ["federation", "--federation", str(federation_file)])
    assert load(federation_file).digest in shown.output
    assert "Q = 3 votes" in shown.output
    as_json = CliRunner().invoke(cli, ["federation", "--federation", str(federation_file), "--json"])
    assert f'"digest": "{load(federation_file).digest}"' in as_json.output


def test_curve_keys_are_no_secrets_in_the_configurations_words(command: CommandLine, tmp_path: Path) -> None:
    config = command.config("--id", "1", "--nodes", NODES, "--curve-key-file", str(tmp_path / "key"))
    assert config.curve_key_file == tmp_path / "key"
    assert make_pair().secret.hex() not in repr(make_pair())
