"""What the Kafka transport says at start: refusals that are final end it with one line, others it keeps trying."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from kafka.protocol.admin import CreateTopicsRequest
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from tests.unit.kafka_member import Member, until
from tests.unit.kafka_stand_in import CERTIFICATES, StandIn, server_context
from transports.base import TransportError
from transports.kafka import KafkaTransport
from transports.kafka_settings import SASL_MECHANISMS, KafkaSasl, KafkaServer, KafkaSettings, KafkaTls

CA = KafkaTls(CERTIFICATES / "ca.pem")
PASSWORD = "correct horse, battery staple"
READ, WRITE, DESCRIBE = 3, 4, 8

Start = Callable[..., StandIn]


@pytest.fixture
def stand_in() -> Iterator[Start]:
    started: list[StandIn] = []

    def start(**options: Any) -> StandIn:
        started.append(StandIn(**options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def refusal(settings: KafkaSettings) -> str:
    """The line with which start ends."""
    transport = KafkaTransport(settings, 2, 0)
    with pytest.raises(TransportError) as caught:
        transport.start(lambda *_: None)
    assert not transport.status()[0].connected
    with pytest.raises(TransportError, match="not running"):
        transport.send(b"data")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def complaint(settings: KafkaSettings) -> str:
    """The log line of a transport that starts and has no link yet."""
    with structlog.testing.capture_logs() as lines:
        member = Member(settings, 2, 0)
        assert not member.link.connected
        member.send(b"is kept")
        member.close()
    (line,) = [line for line in lines if line["event"] == "link_down"]
    assert line["log_level"] == "warning"
    assert line["address"] == settings.address
    return str(line["detail"])


# --- final: start ends with TransportError


def test_a_certificate_for_another_name_is_refused(stand_in: Start) -> None:
    broker = stand_in(tls=server_context("elsewhere"))
    assert refusal(broker.settings(tls=CA)) == (
        f"the certificate of the Kafka broker at localhost:{broker.port} is not accepted: "
        "Hostname mismatch, certificate is not valid for 'localhost'."
    )
    assert not broker.requests


def test_a_certificate_of_an_unknown_authority_is_refused(stand_in: Start) -> None:
    broker = stand_in(tls=server_context("broker"))
    assert "is not accepted: unable to get local issuer certificate" in refusal(broker.settings(tls=KafkaTls()))


def test_a_broker_that_wants_a_certificate_of_ours_is_named(stand_in: Start) -> None:
    broker = stand_in(tls=server_context("broker", ask_for_certificate=True))
    assert "refused the TLS connection: certificate required" in refusal(broker.settings(tls=CA))


def test_a_broker_that_speaks_tls_is_recognised_without_it(stand_in: Start) -> None:
    alert = bytes.fromhex("15030300020246")
    broker = stand_in(handlers={ApiVersionsRequest: lambda _: alert})
    assert refusal(broker.settings()) == f"the Kafka broker at localhost:{broker.port} speaks TLS on this port"


def test_refused_credentials_are_named_without_the_password(stand_in: Start) -> None:
    answer = SaslAuthenticateResponse(error_code=58, error_message="Invalid username or password", auth_bytes=b"")
    broker = stand_in(handlers={SaslAuthenticateRequest: lambda _: answer})
    assert refusal(broker.settings(sasl=KafkaSasl("PLAIN", "alice", PASSWORD))) == (
        f"the Kafka broker at localhost:{broker.port} refused PLAIN for user 'alice': Invalid username or password"
    )


def test_a_refusal_in_the_words_of_scram_alone_is_understood(stand_in: Start) -> None:
    scram = Scram("SCRAM-SHA-256", "bob", PASSWORD)
    broker = stand_in(handlers={SaslAuthenticateRequest: scram.answer})
    line = refusal(broker.settings(sasl=KafkaSasl("SCRAM-SHA-256", "alice", PASSWORD)))
    assert line.endswith("refused SCRAM-SHA-256 for user 'alice': unknown-user")


def test_a_mechanism_that_is_not_offered_is_named(stand_in: Start) -> None:
    answer = SaslHandshakeResponse(error_code=33, mechanisms=["SCRAM-SHA-512", "GSSAPI"])
    broker = stand_in(handlers={SaslHandshakeRequest: lambda _: answer})
    line = refusal(broker.settings(sasl=KafkaSasl("PLAIN", "alice", PASSWORD)))
    assert line.endswith("refused SASL PLAIN; it offers GSSAPI, SCRAM-SHA-512")


def test_topics_that_may_not_be_created_are_listed(stand_in: Start) -> None:
    broker = stand_in()
    broker.handlers[CreateTopicsRequest] = lambda request: broker.created([t.name for t in request.topics], 29)
    assert refusal(broker.settings(prefix="x.")) == (
        "no permission to create the Kafka topic x.new-block: grant it, or have somebody create the topics "
        "x.new-block, x.new-sig0, x.new-sig1 with one partition each"
    )


def test_topics_that_the_brokers_rules_forbid_are_named_with_the_reason(stand_in: Start) -> None:
    broker = stand_in()
    broker.handlers[CreateTopicsRequest] = lambda request: broker.created(
        [topic.name for topic in request.topics], 44, "retention.ms is too\n\x1b[31m long"
    )
    assert refusal(broker.settings()) == (
        "the Kafka topic new-block cannot be created: retention.ms is too??[31m long"  # no control characters
    )


@pytest.mark.parametrize(
    ("allowed", "line"),
    [
        ({DESCRIBE, WRITE}, "no permission to read the Kafka topic new-block"),
        ({DESCRIBE, READ}, "no permission to write to the Kafka topic new-block"),
    ],
)
def test_topics_that_may_not_be_read_or_written_are_named(stand_in: Start, allowed: set[int], line: str) -> None:
    broker = stand_in()
    broker.logs = {name: [] for name in ("new-block", "new-sig0", "new-sig1")}
    broker.handlers[MetadataRequest] = lambda request: broker.metadata(
        [topic.name for topic in request.topics], allowed=allowed
    )
    assert refusal(broker.settings()) == line


def test_a_transport_whose_thread_has_ended_by_itself_can_still_be_closed(
    stand_in: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, closed = threading.Event(), threading.Event()
    run = asyncio.run

    def linger(work: Any) -> None:
        run(work)
        ended.set()
        closed.wait(60)

    monkeypatch.setattr("transports.kafka.asyncio.run", linger)
    broker = stand_in()
    broker.handlers[MetadataRequest] = lambda request: broker.metadata([t.name for t in request.topics], code=29)
    transport = KafkaTransport(broker.settings(), 2, 0)
    monkeypatch.setattr(transport, "close", lambda: None)
    with pytest.raises(TransportError):
        transport.start(lambda *_: None)
    assert ended.wait(60)
    monkeypatch.undo()
    threading.Timer(0.1, closed.set).start()  # close waits for the thread
    transport.close()


def test_topics_that_may_not_even_be_seen_are_named(stand_in: Start) -> None:
    broker = stand_in()
    broker.handlers[MetadataRequest] = lambda request: broker.metadata([t.name for t in request.topics], code=29)
    assert refusal(broker.settings()) == "no permission to see the Kafka topic new-block"


def test_a_broker_that_is_too_old_is_named(stand_in: Start) -> None:
    kind = ApiVersionsResponse.ApiVersion
    answer = ApiVersionsResponse(error_code=0, api_keys=[kind(api_key=3, min_version=0, max_version=1)])
    broker = stand_in(handlers={ApiVersionsRequest: lambda _: answer})
    assert "it is no Kafka of 2.1 or later" in refusal(broker.settings())


def test_it_is_no_use_to_try_another_broker_only_if_all_refuse(stand_in: Start) -> None:
    good, bad = stand_in(tls=server_context("broker")), stand_in(tls=server_context("elsewhere"))
    servers = (KafkaServer("localhost", bad.port), KafkaServer("localhost", good.port))
    member = Member(KafkaSettings(servers, tls=CA), 2, 0)
    assert member.link.connected
    member.close()
    good.close()
    assert "Connection refused" in complaint(KafkaSettings(servers, tls=CA))


# --- accepted


@pytest.mark.parametrize("mechanism", SASL_MECHANISMS)
@pytest.mark.parametrize("user", ["alice", "a=b,c"])
def test_every_mechanism_is_spoken_over_tls(stand_in: Start, mechanism: str, user: str) -> None:
    verifier = Plain(user, PASSWORD) if mechanism == "PLAIN" else Scram(mechanism, user, PASSWORD)
    broker = stand_in(
        tls=server_context("broker", ask_for_certificate=True), handlers={SaslAuthenticateRequest: verifier.answer}
    )
    tls = KafkaTls(CA.ca_file, CERTIFICATES / "member.pem", CERTIFICATES / "member.key")
    member = Member(broker.settings(tls=tls, sasl=KafkaSasl(mechanism, user, PASSWORD)), 2, 0)
    assert member.link.connected
    member.close()


def test_a_password_sent_in_the_clear_is_warned_of(stand_in: Start) -> None:
    broker = stand_in(handlers={SaslAuthenticateRequest: Plain("alice", PASSWORD).answer})
    with structlog.testing.capture_logs() as lines:
        Member(broker.settings(sasl=KafkaSasl("PLAIN", "alice", PASSWORD)), 2, 0).close()
    assert "kafka_password_in_clear" in {line["event"] for line in lines}
    assert PASSWORD not in str(lines)


# --- not final: it says why and keeps trying


def test_an_unknown_host_is_named_and_tried_again() -> None:
    line = complaint(KafkaSettings((KafkaServer("no-such-host.invalid", 9092),)))
    assert line.startswith("the Kafka broker no-such-host.invalid:9092 has no known address: ")
    assert line.endswith("; trying again")


def test_a_port_nobody_listens_on_is_named_and_tried_again(stand_in: Start) -> None:
    broker = stand_in()
    broker.close()
    assert complaint(broker.settings()) == (
        f"cannot connect to the Kafka broker localhost:{broker.port}: Connection refused; trying again"
    )


def test_a_broker_that_appears_later_is_found_and_gets_what_waited(stand_in: Start) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        member = Member(KafkaSettings((KafkaServer("127.0.0.1", port),)), 2, 0)
        member.send(b"from before")
    broker = stand_in(port=port)
    until(lambda: member.link.connected, "the link comes up")
    until(lambda: len(broker.logs["new-sig0"]) == 1, "the message is written")
    member.close()


def test_something_else_than_a_broker_is_recognised(stand_in: Start) -> None:
    broker = stand_in(handlers={ApiVersionsRequest: lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"})
    assert "does not speak Kafka's protocol" in complaint(broker.settings())


@pytest.mark.parametrize(
    ("closes_at", "hint"),
    [
        (ApiVersionsRequest, "; does it expect TLS?"),
        (MetadataRequest, "; does it expect SASL?"),
        (FetchRequest, ""),
    ],
)
def test_a_broker_that_closes_the_connection_is_named(stand_in: Start, closes_at: Any, hint: str) -> None:
    broker = stand_in(handlers={closes_at: lambda _: None})
    line = f"the Kafka broker at localhost:{broker.port} closed the connection{hint}; trying again"
    assert complaint(broker.settings()) == line


def test_an_address_that_the_cluster_gives_and_nobody_answers_at_is_named(stand_in: Start) -> None:
    broker, gone = stand_in(), stand_in()
    gone.close()
    gone.logs = {name: [] for name in ("new-block", "new-sig0", "new-sig1")}
    broker.handlers[MetadataRequest] = lambda request: gone.metadata([topic.name for topic in request.topics])
    assert complaint(broker.settings()) == (
        f"cannot connect to the Kafka broker localhost:{gone.port}: Connection refused "
        "(the address that the cluster gives for its broker 7); trying again"
    )


@pytest.mark.parametrize("tls", [None, CA])
def test_a_broker_that_says_nothing_does_not_hold_up_the_start(
    monkeypatch: pytest.MonkeyPatch, tls: KafkaTls | None
) -> None:
    for module in ("kafka_dial", "kafka_wire"):
        monkeypatch.setattr(f"transports.{module}.CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = KafkaSettings((KafkaServer("127.0.0.1", silent.getsockname()[1]),), tls=tls)
        assert "does not answer" in complaint(settings)


# --- what verifies credentials in a broker


class Plain:
    """SASL PLAIN (RFC 4616) for one user."""

    def __init__(self, user: str, password: str) -> None:
        self._expected = b"\0".join(text.encode() for text in (user, user, password))

    def answer(self, request: Any) -> Any:
        good = request.auth_bytes == self._expected
        return SaslAuthenticateResponse(error_code=0 if good else 58, error_message=None, auth_bytes=b"")


class Scram:
    """SASL SCRAM (RFC 5802) for one user, as the server sees it."""

    def __init__(self, mechanism: str, user: str, password: str) -> None:
        self._hash = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        self._name = user.replace("=", "=3D").replace(",", "=2C")
        self._salted = hashlib.pbkdf2_hmac(self._hash, password.encode(), b"salt", 4096)
        self._said: dict[bytes, bytes] = {}  # by nonce: connections authenticate at the same time

    def answer(self, request: Any) -> Any:
        message: bytes = request.auth_bytes
        if message.startswith(b"n,,"):
            nonce = message.partition(b",r=")[2] + b"server"
            reply = b"r=" + nonce + b",s=" + base64.b64encode(b"salt") + b",i=4096"
            self._said[nonce] = message[3:] + b"," + reply
        else:
            reply = self._verdict(message)
        return SaslAuthenticateResponse(error_code=0, error_message=None, auth_bytes=reply)

    def _verdict(self, message: bytes) -> bytes:
        bare, _, proof = message.partition(b",p=")
        said = self._said[bare.partition(b",r=")[2]] + b"," + bare
        client_key = self._hmac(self._salted, b"Client Key")
        stored_key = hashlib.new(self._hash, client_key).digest()
        signature = self._hmac(stored_key, said)
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if base64.b64decode(proof) != expected or not said.startswith(f"n={self._name},".encode()):
            return b"e=unknown-user"
        return b"v=" + base64.b64encode(self._hmac(self._hmac(self._salted, b"Server Key"), said))

    def _hmac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self._hash).digest()
