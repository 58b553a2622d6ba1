"""How long a reissuance takes from the block that makes it due to its broadcast, on the embedded chain."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.inflation_verdict import first_senders
from fedsm.demo.nodes import DevnetNodes
from fedsm.demo.treasury import Treasury

MEMBERS, THRESHOLD, PERIOD, PERIODS = 5, 3, 4, 12


def due_to_broadcast(flavour: str) -> Iterator[tuple[str, str]]:
    """Two assets, twelve periods, no faults; from the first member's block to the first node's transaction."""
    secrets = demo_secrets(MEMBERS, "bench reissuance")
    multisig = multisig_of(secrets, THRESHOLD)
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as temporary:
        directory = Path(temporary)
        nodes = DevnetNodes(multisig, directory / "nodes", dynafed=True, flavour=flavour)
        try:
            nodes.start()
            treasury = Treasury.open(nodes.addresses[0], multisig, PERIOD, 1.0)
            cast = Cast(secrets, nodes.addresses, directory, 1.0, extra=treasury.options)
            try:
                cast.start()
                wanted = 2 * PERIODS
                if not cast.wait_for(
                    lambda: len(first_senders(cast, MEMBERS)) >= wanted, 60 + 2 * PERIOD * PERIODS
                ):
                    sys.exit("the federation does not reissue")
                senders = first_senders(cast, MEMBERS)
            finally:
                cast.close()
        finally:
            nodes.close()
    by_due: dict[int, list[int]] = {}
    for (_, due_height), (_, latency_ms) in senders.items():
        by_due.setdefault(due_height, []).append(latency_ms)
    single = [latency_ms for found in by_due.values() for latency_ms in found]
    last = [max(found) for found in by_due.values()]
    name = f"reissuance, devnet {flavour}: due to broadcast"
    yield f"{name}, median of {len(single)}", f"{statistics.median(single):.0f} ms, longest {max(single)} ms"
    yield f"{name} of both assets, median", f"{statistics.median(last):.0f} ms"
