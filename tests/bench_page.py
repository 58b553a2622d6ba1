"""Measures the operator's page: what it costs a block, how fast and large it is, and how soon it shows a death."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.nodes import DevnetNodes
from fedsm.demo.ports import free_ports
from fedsm.errors import FedsmError
from fedsm.web.client import DaemonAddress, fetch
from tests.bench_trace import INTERVAL_S, MEMBERS, THRESHOLD, compared, take_turns
from tests.browser import chromium

SCRAPES_S = 5.0
LOADS = 11
TIMING = (
    "const all = [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')];"
    "return [all[0].loadEventEnd, all.reduce((sum, one) => sum + one.encodedBodySize, 0)]"
)
IS_DOWN = "return document.querySelector('#ring [data-member=\"3\"]')?.classList.contains('down')"


def page() -> Iterator[tuple[str, str]]:
    """A chain with nothing served and with metrics and status asked for, in turns; then the page in a browser."""
    secrets = demo_secrets(MEMBERS, f"page bench {time.time_ns()}")
    ports = free_ports(MEMBERS)
    with tempfile.TemporaryDirectory(prefix="fedsm-bench-") as directory:
        nodes = DevnetNodes(multisig_of(secrets, THRESHOLD), Path(directory) / "nodes", dynafed=True)
        nodes.start()
        casts = {}
        try:
            for way, http_ports in {"on": ports, "off": None}.items():
                home = Path(directory) / way
                home.mkdir()
                casts[way] = Cast(secrets, nodes.addresses, home, INTERVAL_S, http_ports=http_ports)
            with asked(ports):
                found = take_turns(casts)
            yield from compared(found, "page and metrics")
            casts["on"].start()
            yield from loaded(casts["on"], ports[0])
        finally:
            for daemons in casts.values():
                daemons.close()
            nodes.close()


@contextmanager
def asked(ports: list[int]) -> Iterator[None]:
    """Ask every daemon that serves for its metrics, and one for its status four times a second."""
    ended = threading.Event()

    def ask(port: int, path: str, every_s: float) -> None:
        while not ended.wait(every_s):
            with suppress(FedsmError):
                fetch(DaemonAddress(port=port), path)

    tasks = [(port, "/metrics", SCRAPES_S) for port in ports] + [(ports[0], "/status.json", 0.25)]
    threads = [threading.Thread(target=ask, args=task) for task in tasks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def loaded(daemons: Cast, port: int) -> Iterator[tuple[str, str]]:
    """Load the page again and again, then kill a member while it is open."""
    url = f"http://127.0.0.1:{port}/"
    served = len(daemons.lines(0, "block_accepted"))
    daemons.wait_for(lambda: len(daemons.lines(0, "block_accepted")) > served + 2, 60)
    with chromium() as browser:
        times, sizes = [], []
        for _ in range(LOADS):
            browser.get("about:blank")
            browser.get(url)
            took_ms, size = browser.execute_script(TIMING)
            times.append(took_ms)
            sizes.append(size)
        middle = statistics.median(times)
        yield "page: load in Chromium, median", f"{middle:.0f} ms, longest {max(times):.0f} ms of {LOADS}"
        yield "page: size of all that is loaded", f"{max(sizes) / 1000:.1f} kB"
        daemons.daemons[3].kill()
        begun = time.monotonic()
        while not browser.execute_script(IS_DOWN):
            time.sleep(0.02)
        yield "page: a killed member is red after", f"{time.monotonic() - begun:.1f} s"
