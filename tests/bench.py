"""Measures what the project promises; run by ``make bench`` (``make bench BENCH="pace memory"`` for a choice).

Figures of one run on one machine: compare them with each other, not with other days.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import psutil

from fedsm.demo.broker import Broker
from fedsm.demo.cast import Cast, HsmMember, demo_secrets, multisig_of
from fedsm.demo.links import LinkKind, Links
from fedsm.demo.nodes import DevnetNodes, ElementsNodes, Nodes, find_elementsd
from fedsm.simulator.cluster import Cluster
from signers.guard import Guard
from signers.software import SoftwareSigner
from states.memory import VoteCast
from states.messages import Prevote
from tests import bench_flood, bench_hsm, bench_page, bench_reissuance, bench_trace
from tests.hsm import find_softhsm
from transports.envelope import Sealer, parse, signed_by

MEMBERS, THRESHOLD = 5, 3


def say(name: str, value: str) -> None:
    sys.stdout.write(f"{name:<52} {value}\n")
    sys.stdout.flush()


def federation(
    kind: type[DevnetNodes | ElementsNodes],
    blocks: int,
    interval_s: float,
    name: str,
    hsms: Mapping[int, HsmMember] | None = None,
    links: LinkKind = "zmq",
) -> None:
    """Make blocks without faults; slot-to-acceptance by all five nodes, missed slots, memory."""
    secrets = demo_secrets(MEMBERS, "bench")
    multisig = multisig_of(secrets, THRESHOLD)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedsm-bench-")))
        needs_broker = links in ("kafka", "both")
        broker = stack.enter_context(Broker(directory)).address if needs_broker else None
        nodes: Nodes = kind(multisig, directory / "nodes", dynafed=True)
        nodes.start()
        own_links = Links(links, MEMBERS, broker)
        own_links.prepare(directory, multisig, nodes.addresses[0].rpc().call("getblockhash", [0]), interval_s)
        cast = Cast(secrets, nodes.addresses, directory, interval_s, hsms=hsms, links=own_links)
        try:
            cast.start()
            wait_for_blocks(cast, blocks // 10 + 2, interval_s)
            early = [resident_mb(daemon.pid) for daemon in cast.daemons]
            wait_for_blocks(cast, blocks + 2, interval_s)
            late = [resident_mb(daemon.pid) for daemon in cast.daemons]
        finally:
            cast.close()
            nodes.close()
    lines = [cast.lines(i, "block_accepted")[1:blocks] for i in range(MEMBERS)]
    latencies = [
        max(line["accepted_ms"] for line in block) - min(line["slot_ms"] for line in block)
        for block in zip(*lines, strict=True)
    ]
    slots = [line["slot_ms"] for line in lines[0]]
    missed = round((slots[-1] - slots[0]) / (interval_s * 1000)) - (len(slots) - 1)
    p99 = sorted(latencies)[round(0.99 * (len(latencies) - 1))]
    say(f"{name}: slot to acceptance by all, median", f"{statistics.median(latencies):.0f} ms, p99 {p99} ms")
    say(f"{name}: {len(slots)} blocks at {interval_s:g} s, missed slots", str(missed))
    say(f"{name}: daemon memory early, late (max of five)", f"{max(early):.0f} MB, {max(late):.0f} MB")


def wait_for_blocks(cast: Cast, blocks: int, interval_s: float) -> None:
    def reached() -> bool:
        return all(len(cast.lines(i, "block_accepted")) >= blocks for i in range(MEMBERS))

    if not cast.wait_for(reached, 60 + 3 * blocks * interval_s):
        sys.exit("the federation does not make blocks")


def resident_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def microseconds(action: Callable[[], object], times: int) -> float:
    """Median of five batches, per call."""
    batches = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(times):
            action()
        batches.append((time.perf_counter() - begun) / times * 1e6)
    return statistics.median(batches)


def parts() -> None:
    """The single steps of a round."""
    secret = bytes([3]) * 32
    signer = SoftwareSigner(secret)
    sealer = Sealer(bytes(32), 0, 0, secret, 1)
    vote = Prevote(1, 0, "ab" * 32)
    envelope = sealer.seal(vote)
    say("seal a vote", f"{microseconds(lambda: sealer.seal(vote), 500):.0f} us")
    key = signer.public_key[1:]
    say("parse and verify a vote", f"{microseconds(lambda: signed_by(envelope, parse(envelope), key), 500):.0f} us")
    say(
        "sign a block hash (low-R ground, verified)",
        f"{microseconds(lambda: signer.sign_block(secret, b''), 200):.0f} us",
    )
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        guard = Guard.open(Path(directory) / "guard.sqlite", "ab" * 32, signer.public_key)
        rounds = iter(range(1_000_000))
        durable = microseconds(lambda: guard.record([VoteCast("prevote", 1, next(rounds), None)]), 50)
        guard.close()
    say("record a vote durably", f"{durable:.0f} us")
    cluster = Cluster(MEMBERS, THRESHOLD)
    cluster.start()
    begun = time.perf_counter()
    cluster.run_until_height(100)
    say("rounds of 3-of-5 machines in one process", f"{100 / (time.perf_counter() - begun):.0f} a second")


def hsm() -> None:
    """Signing by SoftHSM2: what the signer adds to the token's work, and a federation with two such members."""
    measured = bench_hsm.overhead()
    bare_us = measured.init_us + measured.sign_us
    say("SoftHSM2, on one CPU: hash in, verified DER out", f"{measured.signer_us:.0f} us")
    say(
        "SoftHSM2, on one CPU: bare C_SignInit and C_Sign",
        f"{measured.init_us:.0f} + {measured.sign_us:.0f} us: {measured.signer_us / bare_us:.2f} times",
    )
    with bench_hsm.hsm_members((1, 3), demo_secrets(MEMBERS, "bench")) as members:
        federation(DevnetNodes, 200, 0.5, "devnet, 2 of 5 members by SoftHSM2", members)


def flood() -> None:
    """What 20,000 garbage messages a second from one member cost the others."""
    for name, value in bench_flood.flood_and_silence():
        say(name, value)


def links() -> None:
    """The latencies of the other links, beside that of plain ZeroMQ."""
    for kind in get_args(LinkKind):
        federation(DevnetNodes, 60, 1.0, f"devnet over {kind}", links=kind)


def trace() -> None:
    """What a trace costs, and how fast it is replayed."""
    for name, value in bench_trace.overhead_and_replay():
        say(name, value)


def reissuance() -> None:
    """From the block that makes a reissuance due to its broadcast, on both kinds of the embedded chain."""
    for flavour in ("elements", "ocean"):
        for name, value in bench_reissuance.due_to_broadcast(flavour):
            say(name, value)


def page() -> None:
    """What the operator's page and the metrics cost a block; the page in a real browser."""
    for name, value in bench_page.page():
        say(name, value)


BENCHES: dict[str, Callable[[], None]] = {
    "parts": parts,
    "latency": lambda: federation(DevnetNodes, 60, 1.0, "devnet"),
    "pace": lambda: federation(DevnetNodes, 200, 0.2, "devnet"),
    "memory": lambda: federation(DevnetNodes, 1000, 0.2, "devnet"),
    "hsm": hsm,
    "reissuance": reissuance,
    "trace": trace,
    "page": page,
    "links": links,
    "flood": flood,
    "elementsd": lambda: federation(ElementsNodes, 200, 1.0, "elementsd"),
}


def main(chosen: list[str]) -> None:
    there = {"hsm": find_softhsm(), "page": shutil.which("chromedriver"), "elementsd": find_elementsd()}
    for name in chosen or [
        "parts",
        "links",
        "flood",
        "pace",
        "reissuance",
        "trace",
        *(name for name, path in there.items() if path),
    ]:
        BENCHES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
