"""Measures traces: what they cost a block, and how much faster than the chain a replay is."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from fedsm.clock import SystemClock
from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.nodes import DevnetNodes
from fedsm.log import get_logger
from fedsm.replay import replay
from fedsm.simulator.cluster import Cluster
from fedsm.trace import Origin, Trace, TraceSettings, Transition, open_trace, read
from states.effects import Effect
from states.events import Event
from states.round import Round

MEMBERS, THRESHOLD = 5, 3
WAYS = {"on": (), "off": ("--no-trace",)}
TURNS, BLOCKS, INTERVAL_S = 5, 24, 1.0
# Of each turn these are left out: daemons that have just started find each other.
FIRST_BLOCKS = 3
HEIGHTS = 150


@dataclass
class Found:
    """Slot to acceptance by all of each block, in ms; and the processor time of a daemon for a block, in ms."""

    latencies: list[int] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def overhead_and_replay() -> list[tuple[str, str]]:
    """A 1 s chain on which the daemons run with a trace and without, in turns; then the traces are replayed."""
    secrets = demo_secrets(MEMBERS, f"trace bench {time.time_ns()}")
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        nodes = DevnetNodes(multisig_of(secrets, THRESHOLD), Path(directory) / "nodes", dynafed=True)
        nodes.start()
        casts = {}
        try:
            for way, extra in WAYS.items():
                home = Path(directory) / way
                home.mkdir()
                casts[way] = Cast(secrets, nodes.addresses, home, INTERVAL_S, extra=extra)
            found = take_turns(casts)
        finally:
            for daemons in casts.values():
                daemons.close()
            nodes.close()
        return [*compared(found), engine_cost(found["off"]), *replayed(Path(directory) / "on" / "member-0")]


def take_turns(casts: dict[str, Cast]) -> dict[str, Found]:
    found: dict[str, Found] = defaultdict(Found)
    for turn in range(TURNS):
        for way in sorted(casts, reverse=turn % 2 == 1):
            daemons = casts[way]
            before = [len(daemons.lines(i, "block_accepted")) + FIRST_BLOCKS for i in range(MEMBERS)]
            daemons.start()
            wait_for(daemons, before)
            used_s = cpu_s(daemons)
            wait_for(daemons, [count + BLOCKS for count in before])
            found[way].cpu_ms.append((cpu_s(daemons) - used_s) * 1000 / (BLOCKS * MEMBERS))
            daemons.close()
            found[way].latencies += latencies_since(daemons, before)
    return found


def wait_for(daemons: Cast, wanted: list[int]) -> None:
    if not daemons.wait_for(partial(has_blocks, daemons, wanted), 60 + 3 * BLOCKS):
        raise SystemExit("the federation does not make blocks")


def cpu_s(daemons: Cast) -> float:
    times = [psutil.Process(daemon.pid).cpu_times() for daemon in daemons.daemons]
    return sum(used.user + used.system for used in times)


def has_blocks(daemons: Cast, wanted: list[int]) -> bool:
    return all(len(daemons.lines(i, "block_accepted")) >= count for i, count in enumerate(wanted))


def latencies_since(daemons: Cast, before: list[int]) -> list[int]:
    """Of the blocks that all five saw accepted and that were decided in round 0."""
    blocks: dict[int, list[dict[str, int]]] = defaultdict(list)
    for member, seen in enumerate(before):
        for line in daemons.lines(member, "block_accepted")[seen:]:
            if line["round"] == 0:
                blocks[line["height"]].append(line)
    return [
        max(line["accepted_ms"] for line in lines) - min(line["slot_ms"] for line in lines)
        for lines in blocks.values()
        if len(lines) == MEMBERS
    ]


def compared(found: dict[str, Found], what: str = "trace") -> list[tuple[str, str]]:
    """The figures of the ways on and off, and how they differ."""
    means, errors, rows = {}, {}, []
    for way in WAYS:
        ordered = sorted(found[way].latencies)
        middle = ordered[len(ordered) // 10 : len(ordered) - len(ordered) // 10]
        means[way], errors[way] = statistics.mean(middle), statistics.stdev(middle) / len(middle) ** 0.5
        shown = f"{means[way]:.1f} +- {errors[way]:.1f} ms, {len(ordered)} blocks"
        rows.append((f"{what} {way}: slot to acceptance by all, trimmed mean", shown))
        rows.append((f"{what} {way}: processor time of a daemon for a block", f"{cpu_of(found[way]):.1f} ms"))
    more, error = means["on"] / means["off"] - 1, (errors["on"] ** 2 + errors["off"] ** 2) ** 0.5 / means["off"]
    rows.append((f"{what}: overhead of the block latency", f"{more * 100:+.1f} +- {error * 100:.1f} %"))
    return rows


def cpu_of(found: Found) -> float:
    return statistics.median(found.cpu_ms)


class Timed:
    """A trace, and the processor time that its steps took of the calling thread, the machines' own included."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.start = trace.start
        self.close = trace.close
        self.took_s = 0.0

    def step(self, core: Round, event: Event) -> list[Effect]:
        begun = time.thread_time()
        effects = self._trace.step(core, event)
        self.took_s += time.thread_time() - begun
        return effects


def engine_cost(without: Found) -> tuple[str, str]:
    """What the thread that runs the rounds does more for a block; the rest is done in a thread beside it."""
    spent_s = {way: min(engine_s(way) for _ in range(3)) for way in WAYS}
    more_ms = (spent_s["on"] - spent_s["off"]) * 1000 / HEIGHTS
    share = more_ms / statistics.median(without.latencies)
    return (
        "trace: more work for a block in the engine's thread",
        f"{more_ms:.2f} ms, {share * 100:.1f} % of the latency",
    )


def engine_s(way: str) -> float:
    """Processor time of one simulated member's steps over so many heights."""
    cluster = Cluster(MEMBERS, THRESHOLD)
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        origin = Origin("0", "00" * 32, "", "00" * 32, "00" * 32, cluster.settings(0))
        settings = TraceSettings() if way == "on" else None
        trace = Timed(open_trace(settings, Path(directory), origin, SystemClock(), get_logger()))
        cluster.members[0].trace = trace
        cluster.restart(0)
        for member in cluster.members[1:]:
            member.tell_tip()
        cluster.run_until_height(HEIGHTS)
        trace.close()
    return trace.took_s


def replayed(trace: Path) -> list[tuple[str, str]]:
    """How much faster than it was recorded a trace is replayed."""
    recorded_s, last_ms, started = 0.0, None, True
    for _, item in read(trace):
        if isinstance(item, Transition):
            recorded_s += 0 if started or last_ms is None else (item.at_ms - last_ms) / 1000
            last_ms, started = item.at_ms, False
        else:
            started = True
    begun = time.perf_counter()
    result = replay(trace)
    took_s = time.perf_counter() - begun
    return [
        (
            f"replay of {recorded_s:.0f} s of a {INTERVAL_S:g} s chain",
            f"{took_s:.2f} s, {recorded_s / took_s:.0f} times as fast",
        ),
        ("replay", f"{result.steps / took_s:.0f} steps a second"),
    ]
