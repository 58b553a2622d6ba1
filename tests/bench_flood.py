"""What a flood from one member costs the others: block pace, latency and memory beside 20,000 messages a second."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.hostile import Flood, Hostile, Silent
from tests.integration.federation import Federation

LIAR = 4
HONEST = (0, 1, 2, 3)
INTERVAL_S = 1.0
FLOOD_S = 30.0
TURN_S = 0.002


def flood_and_silence() -> Iterator[tuple[str, str]]:
    """The same federation beside a member that says nothing, and beside one that floods: names and figures."""
    with (
        tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory,
        Federation(Path(directory), "devnet", interval_s=INTERVAL_S) as fed,
    ):
        for member in HONEST:
            fed.cast.daemons[member].start()
        fed.wait_height(2, list(HONEST))
        with Silent(fed, LIAR) as silent:
            yield "beside a silent member, 30 s", _blocks(fed, silent)
        before = _memory(fed)
        with Flood(fed, LIAR) as flood:
            assert isinstance(flood, Flood)
            yield "beside a flood, 30 s", _blocks(fed, flood)
            yield "messages of the flood", f"{flood.sent / FLOOD_S:.0f} a second"
        yield "daemon memory before and after the flood", f"{before:.0f} MB, {_memory(fed):.0f} MB"


def _blocks(fed: Federation, hostile: Hostile) -> str:
    """How the honest members fare while the hostile one has its turns."""
    seen = {member: len(fed.cast.lines(member, "block_accepted")) for member in HONEST}
    _turn_until(hostile, time.monotonic() + FLOOD_S)
    lines = [fed.cast.lines(member, "block_accepted")[seen[member] :] for member in HONEST]
    slots = [line["slot_ms"] for line in lines[0]]
    missed = round((slots[-1] - slots[0]) / (INTERVAL_S * 1000)) - (len(slots) - 1)
    by_height = [{line["height"]: line for line in own} for own in lines]
    common = set.intersection(*(set(own) for own in by_height))
    latencies = [max(own[height]["latency_ms"] for own in by_height) for height in common]
    return f"{len(slots)} blocks, {missed} slots missed, median {statistics.median(latencies):.0f} ms"


def _turn_until(hostile: Hostile, end_s: float) -> None:
    while time.monotonic() < end_s:
        hostile.turn()
        time.sleep(TURN_S)


def _memory(fed: Federation) -> float:
    """The most that one of the honest daemons has resident, in MB."""
    return max(psutil.Process(fed.cast.daemons[member].pid).memory_info().rss for member in HONEST) / 1e6
