"""Addresses, topics, TLS and SASL of Kafka: what is accepted, and the one line for what is not."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kafka_stand_in import CERTIFICATES
from transports.base import TransportError
from transports.kafka_settings import KafkaSasl, KafkaServer, KafkaSettings, KafkaTls, parse_servers

SERVERS = (KafkaServer("kafka", 9092),)
# The test member's key under the password "secret".
ENCRYPTED_KEY = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjLnSaalSBONgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEENElI3tGwbRtv9C59D03APkEgZDG
ZfuMiD1eAgJWF3zJER0FXMmeaH8kTQiJGb3+ek6IUYObyclfyVEcGIEpJOMzyfte
e6vYQ8DVbzw4hQbHXcDvEMJmxpYj6NhV2oYqWcDF31h4AdEk2NLdOa5GRjhVmL7i
oOd41woDDUWXgl0WlBE8p6EOIpzqWaWVFDaPiMOCCbztNKldXnUX6dPN+D3VEIw=
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("kafka:9092", [("kafka", 9092)]),
        ("kafka", [("kafka", 9092)]),
        ("a.example:1, b_2:65535", [("a.example", 1), ("b_2", 65535)]),
        ("10.0.0.1:9,[::1]:7", [("10.0.0.1", 9), ("::1", 7)]),
        ("[::1]", [("::1", 9092)]),
    ],
)
def test_servers_are_read_from_a_list(text: str, servers: list[tuple[str, int]]) -> None:
    assert [(server.host, server.port) for server in parse_servers(text)] == servers


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "kafka:",
        ":9092",
        "kafka:0",
        "kafka:65536",
        "kafka:x",
        "a b:1",
        "user@kafka:1",
        "http://kafka:1",
        "k/1",
        "[::1",
    ],
)
def test_a_bad_entry_is_named(entry: str) -> None:
    with pytest.raises(TransportError, match="is not host:port") as caught:
        parse_servers(f"kafka:9092,{entry}")
    assert repr(entry) in str(caught.value)


def test_addresses_are_shown_as_they_are_given() -> None:
    assert KafkaSettings(parse_servers("kafka:9092,[::1]:7")).address == "kafka:9092,[::1]:7"


def test_topics_are_the_old_ones_behind_the_prefix() -> None:
    assert KafkaSettings(SERVERS).proposals_topic == "new-block"
    assert KafkaSettings(SERVERS).member_topic(3) == "new-sig3"
    assert KafkaSettings(SERVERS, prefix="main.").member_topic(0) == "main.new-sig0"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"servers": ()}, "no Kafka broker is named"),
        ({"prefix": "a/b"}, "prefix 'a/b' is not made of"),
        ({"prefix": "x" * 245}, "is not made of"),
        ({"retention_ms": 999}, "999 ms is too short"),
    ],
)
def test_settings_that_no_broker_takes_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TransportError, match=complaint):
        KafkaSettings(**{"servers": SERVERS, **settings})


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(KafkaSettings(SERVERS, sasl=KafkaSasl("PLAIN", "alice", "hunter2")))


@pytest.mark.parametrize(
    ("sasl", "complaint"),
    [
        (("GSSAPI", "alice", "secret"), "'GSSAPI' is not supported, only PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        (("PLAIN", "", "secret"), "needs a user and a password"),
        (("SCRAM-SHA-256", "alice", ""), "needs a user and a password"),
        (("PLAIN", "alice\0bob", "secret"), "zero byte"),
    ],
)
def test_credentials_that_cannot_work_are_refused(sasl: tuple[str, str, str], complaint: str) -> None:
    with pytest.raises(TransportError, match=complaint):
        KafkaSasl(*sasl)


def test_tls_checks_names_and_certificates() -> None:
    tls = KafkaTls(CERTIFICATES / "ca.pem", CERTIFICATES / "member.pem", CERTIFICATES / "member.key")
    for context in (tls.context(), KafkaTls().context()):
        assert context.check_hostname
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    ca, member, key = (CERTIFICATES / name for name in ("ca.pem", "member.pem", "member.key"))
    missing, garbage = tmp_path / "missing", tmp_path / "garbage"
    garbage.write_text("no certificate")
    for tls, named in (
        (KafkaTls(missing), f"CA file {missing} cannot be used: No such file"),
        (KafkaTls(garbage), f"CA file {garbage} cannot be used: "),
        (KafkaTls(ca, missing, key), f"{missing} and {key} cannot be used: No such file"),
        (KafkaTls(ca, member, CERTIFICATES / "broker.key"), "cannot be used: key values mismatch"),
        (KafkaTls(ca, member), f"{member} cannot be used: "),
        (KafkaTls(ca, None, key), f"key {key} has no certificate"),
    ):
        with pytest.raises(TransportError) as caught:
            tls.context()
        assert named in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path) -> None:
    encrypted = tmp_path / "member.key"
    encrypted.write_text(ENCRYPTED_KEY)
    with pytest.raises(TransportError, match="cannot be used"):
        KafkaTls(CERTIFICATES / "ca.pem", CERTIFICATES / "member.pem", encrypted).context()
