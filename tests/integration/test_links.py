"""Real daemons over Kafka, over CURVE, and over two transports at once, of which either may fail."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from fedsm.demo.broker import Broker
from fedsm.demo.links import Links
from fedsm.federation_file import load
from tests.integration.broker import kafka
from tests.integration.federation import Federation, wait_until
from tests.integration.wires import WiredLinks
from tests.kafka_flood import KafkaFlood

Make = Callable[..., Federation]
ALL = list(range(5))


def wait_links(fed: Federation, event: str, count: int = 1, *, broker: str) -> None:
    """Until every member has logged ``count`` times that its link to the broker went up or down."""

    def logged(member: int) -> int:
        return sum(line["address"] == broker for line in fed.cast.lines(member, event))

    for member in ALL:
        assert fed.cast.wait_for(lambda m=member: logged(m) >= count, 60), f"member {member} logs no {event}"  # type: ignore[misc]


@pytest.mark.one_chain
def test_over_kafka_members_come_and_go_and_the_chain_goes_on(federation: Make, tmp_path: Path) -> None:
    with (
        kafka(tmp_path) as (address, prefix),
        federation(interval_s=0.5, links=Links("kafka", 5, address), extra=("--kafka-prefix", prefix)) as fed,
    ):
        fed.cast.start()
        fed.wait_height(3)
        proposer = fed.quorum.proposer(fed.height(0) + 2, 0)
        others = [i for i in ALL if i != proposer]
        fed.cast.daemons[proposer].kill()
        fed.wait_more(2, others)
        decided = len(fed.cast.lines(proposer, "decided"))
        fed.cast.daemons[proposer].start()
        back = fed.wait_event(proposer, "decided", count=decided + 1)
        assert {line["level"] for line in fed.cast.lines(proposer, "link_up")} == {"info"}
        fed.wait_height(back["height"] + 1)
        fed.check_chain()


@pytest.mark.one_chain
def test_the_loss_of_the_broker_and_then_of_all_direct_links_does_not_stop_the_chain(
    tmp_path: Path, kind: str
) -> None:
    with Broker(tmp_path) as broker:
        links = WiredLinks("both", 5, broker.address)
        with links.wires as wires, Federation(tmp_path / "fed", kind, interval_s=0.5, links=links) as fed:
            fed.cast.start()
            fed.wait_height(2)
            wait_links(fed, "link_up", broker=broker.address)
            broker.signal(signal.SIGKILL)
            wait_links(fed, "link_down", broker=broker.address)
            fed.wait_more(3)
            broker.close()
            broker.start()
            wait_links(fed, "link_up", 2, broker=broker.address)
            for member in ALL:
                fed.wait_event(member, "link_up", count=6)  # to the broker twice, and to four members
            wires.cut()
            for member in ALL:
                fed.wait_event(member, "link_down", count=5)  # from the broker, and from four members
            fed.wait_more(3)
            up = [len(fed.cast.lines(member, "link_up")) for member in ALL]
            wires.mend()
            for member in ALL:
                fed.wait_event(member, "link_up", count=up[member] + 4)
            fed.wait_more(1)
            wires.freeze()  # half open: the connections stand, and nothing comes through
            fed.wait_more(3)
            wires.mend()
            fed.wait_more(1)
            fed.check_chain()
            for member in ALL:
                assert all(line["member"] == member for line in fed.cast.lines(member, "link_down"))


@pytest.mark.one_chain
def test_over_curve_only_members_are_admitted_and_a_member_with_another_file_is_named(federation: Make) -> None:
    with federation(interval_s=0.5, links=Links("curve", 5)) as fed:
        file = fed.directory / "federation.toml"
        for member in ALL[:4]:
            fed.cast.daemons[member].start()
        fed.wait_height(2, ALL[:4])
        assert not fed.cast.lines(0, "links_not_encrypted")
        assert fed.cast.lines(0, "started")[0]["federation"] == load(file).digest

        host, port = fed.links.addresses[0].split(":")
        text = file.read_text()
        file.write_text(text.replace(f'"{host}:{port}"', f'"localhost:{port}"', 1))
        assert load(file).digest != fed.cast.lines(0, "started")[0]["federation"]
        fed.cast.daemons[4].start()
        warned = fed.wait_event(0, "peer_federation_differs")
        assert warned["peer"] == 4
        assert load(file).digest in warned["detail"]

        context = zmq.Context()
        stranger = context.socket(zmq.SUB)
        stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
        stranger.curve_serverkey = load(file).curve_keys[0].encode()
        stranger.subscribe(b"")
        stranger.connect(f"tcp://{fed.links.addresses[0]}")
        plain = context.socket(zmq.SUB)
        plain.subscribe(b"")
        plain.connect(f"tcp://{fed.links.addresses[0]}")
        fed.wait_event(0, "connection_refused", count=2)
        causes = " ".join(line["cause"] for line in fed.cast.lines(0, "connection_refused"))
        assert "is not pinned" in causes
        assert "no CURVE on one of the two sides" in causes
        fed.wait_more(3)
        assert not stranger.poll(0)
        assert not plain.poll(0)
        context.destroy(0)
        fed.check_chain()


def test_a_flood_of_the_topic_that_all_share_does_not_stop_the_chain(tmp_path: Path) -> None:
    with (
        kafka(tmp_path) as (address, prefix),
        Federation(
            tmp_path / "fed",
            "devnet",
            members=3,
            threshold=2,
            links=Links("kafka", 3, address),
            extra=("--kafka-prefix", prefix),
        ) as fed,
    ):
        fed.cast.start()
        fed.wait_height(1)
        with KafkaFlood(address, f"{prefix}new-block") as flood:
            wait_until(lambda: flood.sent > 20_000, 60, lambda: f"{flood.sent} messages")
            fed.wait_more(5)
        fed.check_chain()
