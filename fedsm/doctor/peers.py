"""Checks of the other members: are they reached by each transport, and do clocks, versions and files agree?"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fedsm.config import DaemonConfig
from fedsm.doctor.node import UNKNOWN, FoundChain
from fedsm.errors import FedsmError
from fedsm.links import curve_keys
from fedsm.observe.status import Check, Link, Status
from fedsm.peers import SKEW_MS
from fedsm.preflight import quorum_of
from fedsm.spectating import Subject, listening
from fedsm.version import __version__
from transports.base import LinkStatus, TransportError
from transports.curve import CurveKeys

# Heartbeats come each second.
LISTEN_S = 3.0
POLL_S = 0.1
BROKER_TIMEOUT_S = 5.0


class _Heard(NamedTuple):
    """What a member's heartbeat says, as far as it is to be compared."""

    skew_ms: int
    version_differs: str
    federation_differs: str


def peer_checks(config: DaemonConfig, found: FoundChain | str, running: Status | None) -> Iterator[Check]:
    """Every transport, then what the members say, by the running daemon or by listening ourselves for a while."""
    if "kafka" in config.transports:
        yield from _brokers(config)
    if isinstance(found, str):
        yield Check("peers", ok=False, detail=UNKNOWN)
        return
    others = [n for n in range(found.federation.multisig.n) if n != config.member]
    if running is not None:
        yield from _links({link.member: link for link in running.links if link.member is not None}, others)
        yield from _agreement(_of_status(running), others)
        return
    if "zmq" not in config.transports:
        yield Check("peers", ok=True, detail="heard by the running daemon only, when Kafka is all there is")
        return
    try:
        yield from _listen(config, found, curve_keys(config), others)
    except (FedsmError, TransportError) as error:
        yield Check("peers", ok=False, detail=str(error))


def _listen(config: DaemonConfig, found: FoundChain, curve: CurveKeys | None, others: list[int]) -> Iterator[Check]:
    """Be an observer with the member's own CURVE key, until all others are heard or LISTEN_S have passed.

    A link's round-trip time is known a moment after its first message.
    """
    file, federation = config.federation, found.federation
    subject = Subject(
        found.identity.genesis,
        federation.multisig.public_keys,
        quorum_of(config, federation),
        config.nodes,
        config.interval_ms,
        "" if file is None else file.digest,
        None if file is None else file.identities,
    )
    with listening(subject, config.member, curve) as (spectator, observer):
        end = time.monotonic() + LISTEN_S
        while time.monotonic() < end:
            if len(spectator.heartbeats) == len(others) and _timed(observer.status()):
                break
            time.sleep(POLL_S)
        links = {
            it.member: Link(it.member, it.address, it.connected, it.since_ms, it.round_trip_ms)
            for it in observer.status()
            if it.member is not None
        }
        yield from _links(links, others)
        said = {
            member: _Heard(
                skew_ms,
                "" if heartbeat.version == __version__ else heartbeat.version,
                "" if heartbeat.federation == subject.federation else heartbeat.federation or "none",
            )
            for member, (heartbeat, skew_ms) in spectator.heartbeats.items()
        }
        yield from _agreement(said, others)


def _of_status(status: Status) -> dict[int, _Heard]:
    return {
        peer.member: _Heard(
            peer.skew_ms,
            peer.version if "version_differs" in peer.troubles else "",
            "another" if "federation_differs" in peer.troubles else "",
        )
        for peer in status.peers
        if peer.up and not peer.ours
    }


def _timed(links: tuple[LinkStatus, ...]) -> bool:
    """Whether each link that is up has a round-trip time."""
    return all(it.round_trip_ms is not None for it in links if it.connected and it.member is not None)


def _links(links: Mapping[int, Link], others: list[int]) -> Iterator[Check]:
    for member in others:
        link = links.get(member)
        if link is None:
            continue
        if not link.connected:
            yield Check(
                f"link to member {member}",
                ok=False,
                detail=f"{link.address}: no connection; is its daemon up, the address right, no firewall between?",
            )
            continue
        took = "" if link.round_trip_ms is None else f", round trip {link.round_trip_ms:.1f} ms"
        yield Check(f"link to member {member}", ok=True, detail=f"{link.address}{took}")


def _agreement(heard: Mapping[int, _Heard], others: list[int]) -> Iterator[Check]:
    silent = [str(member) for member in others if member not in heard]
    detail = f"{len(heard)} of {len(others)} are heard"
    yield Check("peers", not silent, detail + (f"; not members {', '.join(silent)}" if silent else ""))
    if not heard:
        return
    middle = round(statistics.median(said.skew_ms for said in heard.values()))
    off = {member: said.skew_ms for member, said in heard.items() if abs(said.skew_ms) > SKEW_MS}
    if abs(middle) > SKEW_MS:
        word = "behind" if middle > 0 else "ahead of"
        yield Check("clock", ok=False, detail=f"ours is {abs(middle)} ms {word} the others': set it (NTP)")
    else:
        listed = ", ".join(f"member {member} {skew:+} ms" for member, skew in off.items())
        detail = (
            f"off by more than {SKEW_MS} ms: {listed}" if off else f"within {abs(middle)} ms of the others (median)"
        )
        yield Check("clock", not off, detail)
    yield _same("version", {m: said.version_differs for m, said in heard.items()}, f"all run {__version__}")
    yield _same("federation file", {m: said.federation_differs for m, said in heard.items()}, "all have the same")


def _same(name: str, different: Mapping[int, str], agreed: str) -> Check:
    listed = ", ".join(f"member {member} has {value}" for member, value in different.items() if value)
    return Check(name, not listed, listed or agreed)


def _brokers(config: DaemonConfig) -> Iterator[Check]:
    for server in () if config.kafka is None else config.kafka.servers:
        begun = time.monotonic()
        try:
            socket.create_connection((server.host, server.port), BROKER_TIMEOUT_S).close()
        except OSError as error:
            yield Check(f"broker {server}", ok=False, detail=f"no connection: {error.strerror or error}")
        else:
            took_ms = (time.monotonic() - begun) * 1000
            yield Check(f"broker {server}", ok=True, detail=f"connected in {took_ms:.1f} ms")
