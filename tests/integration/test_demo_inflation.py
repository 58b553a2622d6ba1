"""fedsm demo --inflation as a user runs it, on the embedded chain and on real nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path


def test_two_assets_are_reissued_over_three_periods_though_a_leader_dies(kind: str, tmp_path: Path) -> None:
    chain = (
        ("--node", "elementsd")
        if kind == "elementsd"
        else ("--flavour", "ocean" if kind == "ocean" else "elements")
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fedsm", "demo", "--inflation", "--json", *chain),
            *("--blocktime", "0.5", "--inflation-period", "10"),
            *("--seed", str(tmp_path), "--workdir", str(tmp_path / "demo")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"], told["faults"]) == (0, True, []), told
    rows = told["reissuances"]
    assert len({row["asset"] for row in rows}) == 2
    for _, periods in groupby(rows, key=lambda row: row["asset"]):
        numbers = [row["period"] for row in periods]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 3
    assert {row["difference"] for row in rows} == {0}
    assert all(row["leader"] in range(5) for row in rows), "the traces tell"
    assert all(row["due_height"] < row["height"] <= row["due_height"] + 10 for row in rows)
    assert all(row["supply"] == row["expected_supply"] for row in told["supply"])
    assert told["payments"]["sent"] == told["payments"]["confirmed"] > 10
    due, victim = told["take_over"]["due_height"], told["take_over"]["killed"]
    assert victim in told["killed"]
    assert victim in told["restarted"]
    taken = [row for row in rows if row["due_height"] == due and row["sent_by"] != victim]
    assert taken, "somebody else has sent what the leader could not"
