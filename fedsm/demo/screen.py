"""What the demo shows: a live table on a terminal, plain lines elsewhere, and the summary."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fedsm.demo.inflation_verdict import InflationOutcome
from fedsm.demo.process import LogLine
from fedsm.demo.verdict import Verdict
from fedsm.reissue.report import units

# Events of a reissuance, in words.
_REISSUED = {"reissuance_sent": "sent by", "reissuance_confirmed": "confirmed, says"}


class Screen:
    """Follows the daemons' log lines. With ``quiet`` nothing is shown (for --json)."""

    def __init__(self, members: int, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False, markup=False)
        self._lock = threading.Lock()
        self._rows: list[dict[str, str]] = [{} for _ in range(members)]
        self._heights: set[int] = set()
        self._reissued: set[tuple[str, str, int]] = set()
        self._live: Live | None = None
        self.signers_of: Callable[[int, str], str] = lambda _member, _block_hash: ""
        if self._console.is_terminal and not quiet:
            self._live = Live(self._table(), console=self._console, refresh_per_second=8)

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()

    def say(self, text: str) -> None:
        """One line of the plot."""
        self._print(f"  * {text}")

    def hear(self, member: int, line: LogLine) -> None:
        """Take a log line of a member's daemon."""
        event = line.get("event")
        with self._lock:
            row = self._rows[member]
            if event == "state":
                row.update(state=line["state"], height=str(line["height"]), round=str(line["round"]))
            elif event == "block_accepted":
                signers = self.signers_of(member, line["hash"])
                row.update(block=f"{line['height']} {line['hash'][:10]}", signers=signers)
                self._say_block(line, row["signers"])
            elif event in _REISSUED:
                self._say_reissued(member, line)
            elif event == "started":
                row.update(state="started")
            elif event == "stopped":
                row.update(state="stopped")
            if self._live is not None:
                self._live.update(self._table())

    def lost(self, member: int) -> None:
        """A member was killed."""
        with self._lock:
            self._rows[member].update(state="killed")

    def _say_block(self, line: LogLine, signers: str) -> None:
        """One line a block, from the first member that decided it.

        Who learnt it from its node alone, having come late, knows neither the round nor the slot that it was for.
        """
        if self._live is None and line["round"] is not None and line["height"] not in self._heights:
            self._heights.add(line["height"])
            self._print(
                f"block {line['height']:>3}  {line['hash'][:16]}  round {line['round']}  "
                f"{line['latency_ms']:>5} ms after its slot  signed by {signers}"
            )

    def _say_reissued(self, member: int, line: LogLine) -> None:
        """One line when the first member has sent it, and one when the first has seen it in a block."""
        asset, _, rest = line["detail"].removeprefix("asset ").partition(": ")
        place = line["event"], asset, line["height"]
        if self._live is None and place not in self._reissued:
            self._reissued.add(place)
            what = _REISSUED[line["event"]]
            self._print(f"  asset {asset[:8]}, due at height {line['height']}: {what} member {member}: {rest}")

    def _print(self, line: str) -> None:
        """A line, left in one piece however narrow the terminal is."""
        self._console.print(line, soft_wrap=True)

    def _table(self) -> Table:
        table = Table("member", "state", "height", "round", "last block", "signed by")
        for member, row in enumerate(self._rows):
            cells = (row.get(name, "") for name in ("state", "height", "round", "block", "signers"))
            table.add_row(str(member), *cells)
        return table

    def summary(self, verdict: Verdict) -> None:
        """The outcome, in a few lines."""
        latency = verdict.latency_ms
        self._print(
            f"\n{verdict.height} blocks by a {verdict.threshold}-of-{verdict.members} federation; "
            f"slot to acceptance by all: median {latency['median']:.0f} ms, 99th percentile {latency['p99']:.0f} ms"
        )
        self._print(
            f"killed {verdict.killed}, restarted {verdict.restarted}, stopped {verdict.stopped}; "
            f"forks: {verdict.forks}, double signatures: {verdict.double_signatures}"
        )
        if verdict.inflation is not None:
            self._show_inflation(verdict.inflation)
        for fault in verdict.faults:
            self._print(f"FAULT: {fault}")
        self._print("every block verified, no fork" if verdict.ok else "FAILED")

    def _show_inflation(self, outcome: InflationOutcome) -> None:
        self._print(
            f"\n{'asset':<10} {'period':>6} {'due':>5} {'height':>6} {'expected supply':>20} {'supply':>20} "
            f"{'difference':>12} {'leader':>6}  transaction"
        )
        for row in outcome.reissuances:
            self._print(
                f"{row.asset[:8]:<10} {row.period:>6} {row.due_height:>5} {_or_dash(row.height):>6} "
                f"{units(row.expected_supply):>20} {units(row.supply):>20} {row.difference:>12} "
                f"{_or_dash(row.leader):>6}  {_or_dash(row.txid)}"
            )
        if outcome.take_over is not None:
            self._print(
                f"leader {outcome.take_over.killed} died in the middle of the reissuances due at height "
                f"{outcome.take_over.due_height}, and others took over"
            )
        self._print(
            f"payments between clients: {outcome.payments['sent']}, {outcome.payments['confirmed']} in blocks"
        )


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
