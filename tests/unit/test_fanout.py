"""Two transports at once: each message is handed on once, and neither can stop the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.contextvars import bound_contextvars, get_contextvars
from structlog.testing import capture_logs

from tests.unit.zmq_peers import until
from transports import fanout
from transports.base import Deliver, LinkStatus, TransportError
from transports.fanout import FanoutTransport

Make = Callable[..., FanoutTransport]


class Part:
    """A transport that brings what the test says; ``failures`` are the errors of its first starts."""

    def __init__(self, name: str, *failures: Exception) -> None:
        self.name = name
        self.failures = list(failures)
        self.sent: list[bytes] = []
        self.made = self.closed = 0
        self.refusal = ""
        self.context: dict[str, object] = {}
        self.bring: Callable[[bytes], None] = lambda _: None

    def make(self) -> Part:
        self.made += 1
        return self

    def start(self, deliver: Deliver) -> None:
        self.context = get_contextvars()
        if self.failures:
            raise self.failures.pop(0)
        self.bring = lambda data: deliver(data, f"{self.name}:1")

    def send(self, data: bytes) -> None:
        if self.refusal:
            raise TransportError(self.refusal)
        self.sent.append(data)

    def close(self) -> None:
        self.closed += 1

    def status(self) -> tuple[LinkStatus, ...]:
        return (LinkStatus(None, f"{self.name}:1", True, 0, 0, 0),)


@pytest.fixture
def both() -> Iterator[Make]:
    started: list[FanoutTransport] = []

    def make(*parts: Part) -> FanoutTransport:
        started.append(FanoutTransport({part.name: part.make for part in parts}))
        return started[-1]

    yield make
    for each in started:
        each.close()


def running(transport: FanoutTransport) -> int:
    return sum(link.connected for link in transport.status())


def test_a_message_goes_out_on_all_and_is_delivered_once_whoever_brings_it_first(both: Make) -> None:
    zmq, kafka = Part("zmq"), Part("kafka")
    transport = both(zmq, kafka)
    received: list[bytes] = []
    transport.start(lambda data, _: received.append(data))
    until(lambda: running(transport) == 2, "both run")
    transport.send(b"ours")
    assert zmq.sent == kafka.sent == [b"ours"]
    kafka.bring(b"first by kafka")
    zmq.bring(b"first by kafka")
    zmq.bring(b"by zmq alone")
    assert received == [b"first by kafka", b"by zmq alone"]


def test_a_message_that_is_sent_again_is_heard_again(both: Make) -> None:
    zmq, kafka = Part("zmq"), Part("kafka")
    transport = both(zmq, kafka)
    received: list[bytes] = []
    transport.start(lambda data, _: received.append(data))
    until(lambda: running(transport) == 2, "both run")
    for _ in range(2):
        zmq.bring(b"vote")
        kafka.bring(b"vote")
    assert received == [b"vote", b"vote"]


def test_one_that_cannot_start_is_named_and_tried_again_and_the_other_works_meanwhile(
    both: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "RETRY_S", 0.05)
    zmq, kafka = Part("zmq"), Part("kafka", TransportError("refused"), TransportError("refused"))
    transport = both(zmq, kafka)
    with capture_logs() as lines:
        transport.start(lambda *_: None)
        transport.send(b"at once")
        assert zmq.sent == [b"at once"]
        until(lambda: running(transport) == 2, "kafka is back")
    assert kafka.made == 3
    assert [(line["event"], line["transport"], line.get("detail")) for line in lines] == [
        ("transport_failed", "kafka", "refused"),
        ("transport_works", "kafka", None),
    ]


def test_a_fault_in_one_is_told_with_its_traceback_and_does_not_hold_up_the_other(both: Make) -> None:
    zmq, kafka = Part("zmq"), Part("kafka", ValueError("a bug"))
    transport = both(zmq, kafka)
    with capture_logs() as lines:
        transport.start(lambda *_: None)
        until(lambda: len(lines) >= 2, "the fault is told")
    assert {line["event"] for line in lines} == {"transport_fault", "transport_failed"}
    assert running(transport) == 1


def test_without_any_that_starts_there_is_no_transport(both: Make) -> None:
    transport = both(Part("zmq", TransportError("port in use")), Part("kafka", TransportError("refused")))
    with capture_logs(), pytest.raises(TransportError, match="port in use"):
        transport.start(lambda *_: None)
    with pytest.raises(TransportError, match="not running"):
        transport.send(b"data")


def test_one_that_refuses_a_message_is_named_once_and_again_when_it_takes_them(both: Make) -> None:
    zmq, kafka = Part("zmq"), Part("kafka")
    transport = both(zmq, kafka)
    transport.start(lambda *_: None)
    until(lambda: running(transport) == 2, "both run")
    with capture_logs() as lines:
        kafka.refusal = "not running"
        transport.send(b"1")
        transport.send(b"2")
        kafka.refusal = ""
        transport.send(b"3")
    assert zmq.sent == [b"1", b"2", b"3"]
    assert [line["event"] for line in lines] == ["transport_failed", "transport_works"]


def test_closing_ends_one_that_is_still_starting(both: Make) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Part):
        def start(self, _deliver: Deliver) -> None:
            entered.set()
            leave.wait(60)

        def close(self) -> None:
            super().close()
            leave.set()

    slow = Slow("kafka")
    transport = both(Part("zmq"), slow)
    transport.start(lambda *_: None)
    entered.wait(60)
    transport.close()
    assert slow.closed >= 1
    with pytest.raises(TransportError, match="not running"):
        transport.send(b"data")


def test_lines_of_the_transports_threads_name_the_member(both: Make) -> None:
    zmq = Part("zmq")
    with bound_contextvars(member=3):
        both(zmq).start(lambda *_: None)
    assert zmq.context == {"member": 3}
    assert structlog.contextvars.get_contextvars() == {}
