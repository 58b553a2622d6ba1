"""Bad input about links, given to real daemons: one clear line each and the right exit status."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslAuthenticateResponse

from fedsm.demo.links import Links
from fedsm.demo.ports import free_ports
from fedsm.federation_file import load
from tests.integration.federation import Federation, wait_until
from tests.integration.test_refusals import arguments, refusal, running
from tests.unit.kafka_stand_in import CERTIFICATES, StandIn, server_context


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Nodes, keys, and a federation file with CURVE keys; no daemon runs."""
    directory = tmp_path_factory.mktemp("links")
    with Federation(
        directory, "devnet", members=3, threshold=2, interval_s=0.5, links=Links("curve", 3)
    ) as federation:
        yield federation


def over_kafka(fed: Federation, address: str, *options: str) -> list[str]:
    return [*arguments(fed, 0), "--msgtype", "kafka", "--kafka", address, *options]


def with_file(fed: Federation, path: Path, *, member: int = 0) -> list[str]:
    """The command line of a member with this federation file and its own CURVE key."""
    usual = arguments(fed, member)
    del usual[usual.index("--nodes") : usual.index("--nodes") + 2]
    return [*usual, "--federation", str(path), "--curve-key-file", str(fed.directory / f"member-{member}.curve")]


def changed_file(fed: Federation, path: Path, old: str, new: str) -> Path:
    text = (fed.directory / "federation.toml").read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_broker_that_refuses_us_is_named_with_what_it_refuses(fed: Federation) -> None:
    broker = StandIn()
    broker.handlers[CreateTopicsRequest] = lambda request: broker.created([t.name for t in request.topics], 29)
    line = refusal(over_kafka(fed, f"localhost:{broker.port}"))
    assert line == (
        "fedsm: no permission to create the Kafka topic new-block: grant it, or have somebody create the topics "
        "new-block, new-sig0, new-sig1, new-sig2 with one partition each"
    )
    broker.close()

    no = SaslAuthenticateResponse(error_code=58, error_message="Invalid username or password", auth_bytes=b"")
    broker = StandIn(handlers={SaslAuthenticateRequest: lambda _: no})
    sasl = ("--kafka-sasl", "PLAIN", "--kafka-user", "alice", "--kafka-password", "hunter2")
    line = refusal(over_kafka(fed, f"localhost:{broker.port}", *sasl))
    assert line.endswith("refused PLAIN for user 'alice': Invalid username or password")
    assert "hunter2" not in line
    broker.close()

    broker = StandIn(tls=server_context("elsewhere"))
    tls = ("--kafka-tls", "--kafka-ca-file", str(CERTIFICATES / "ca.pem"))
    line = refusal(over_kafka(fed, f"localhost:{broker.port}", *tls))
    assert "is not accepted: Hostname mismatch, certificate is not valid for 'localhost'" in line
    broker.close()


def test_a_broker_that_is_not_there_is_named_and_waited_for(fed: Federation, tmp_path: Path) -> None:
    assert "'no:port:at:all'" in refusal(over_kafka(fed, "no:port:at:all"))
    address, log = f"127.0.0.1:{free_ports(1)[0]}", tmp_path / "waiting.log"
    with running([*over_kafka(fed, address), "--log-format", "json"], log) as process:
        wait_until(lambda: b"link_down" in log.read_bytes(), 30, log.read_text)
        assert f"cannot connect to the Kafka broker {address}: Connection refused; trying again" in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_what_is_wrong_with_the_federation_file_is_named_with_the_member(fed: Federation, tmp_path: Path) -> None:
    keys = [key.hex() for key in fed.multisig.public_keys]
    curve = load(fed.directory / "federation.toml").curve_keys
    path = tmp_path / "federation.toml"
    stranger = "02" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    for old, new, said in (
        (keys[1], stranger, f"member 1 has the key {stranger}, which is not in the chain's block-signing script"),
        (
            curve[2],
            curve[2][:-1],
            "curve of member 2: a CURVE public key has 40 characters of Z85, this one has 39",
        ),
    ):
        line = refusal(with_file(fed, changed_file(fed, path, old, new)))
        assert said in line
    others = with_file(fed, fed.directory / "federation.toml")
    others[others.index("--curve-key-file") + 1] = str(fed.directory / "member-1.curve")
    assert f"the key pinned for member 0 is {curve[0]}" in refusal(others)


def test_a_port_in_use_is_named(fed: Federation) -> None:
    host, port = fed.links.addresses[0].split(":")
    with socket.create_server((host, int(port))):
        line = refusal(arguments(fed, 0))
    assert line == f"fedsm: cannot listen on tcp://{host}:{port}: Address already in use"
