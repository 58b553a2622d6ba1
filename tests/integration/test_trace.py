"""Daemons leave traces, through a SIGKILL too, and the commands read them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedsm.trace import Header, files_of, read, tables_digest
from fedsm.version import __version__
from tests.integration.federation import LIMIT_S, Federation
from tests.scenarios.test_scenarios import check_recorded

Make = Callable[..., Federation]


def fedsm(*arguments: str | Path) -> str:
    """What the command prints; it must end with status 0."""
    command = [sys.executable, "-m", "fedsm", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def height_without_its_proposer(fed: Federation, member: int) -> int:
    """Wait until a round 0 has failed for want of a proposal of ``member``, which is down."""
    least = fed.height(0) + 2

    def heights() -> list[int]:
        lines = [line for line in fed.cast.lines(0, "round_failed") if line["round"] == 0]
        heights = [line["height"] for line in lines if line["height"] >= least]
        return [height for height in heights if fed.quorum.proposer(height, 0) == member]

    assert fed.cast.wait_for(lambda: bool(heights()), LIMIT_S)
    return heights()[0]


@pytest.mark.one_chain
def test_what_daemons_did_is_replayed_explained_drawn_and_made_a_test_of(federation: Make, tmp_path: Path) -> None:
    with federation(members=3, threshold=2, interval_s=0.5) as fed:
        fed.cast.start()
        fed.wait_height(2)
        fed.cast.daemons[1].kill()
        failed = height_without_its_proposer(fed, member=1)
        fed.wait_height(failed)
        fed.cast.daemons[1].start()
        fed.wait_event(1, "decided", count=len(fed.cast.lines(1, "decided")) + 1)
        fed.wait_more(1)
        for daemon in fed.cast.daemons:
            daemon.terminate()
        assert not [line for member in range(3) for line in fed.cast.lines(member) if "trace" in line["event"]]
        decided = len(fed.cast.lines(0, "decided"))
        genesis = fed.rpcs[0].call("getblockhash", [0])
    traces = [tmp_path / f"member-{member}" for member in range(3)]

    # Every step of every member, whatever it went through.
    summaries = [fedsm("replay", trace) for trace in traces]
    assert all(summary.startswith("identical: ") and summary.count("\n") == 1 for summary in summaries)
    assert "2 runs of the daemon; 1 of them without an end" in summaries[1]
    for trace in traces:
        headers = [item for _, item in read(trace) if isinstance(item, Header)]
        assert {(h.version, h.chain, h.tables) for h in headers} == {(__version__, genesis, tables_digest())}

    # The round that failed, in words.
    story = fedsm("explain", traces[0], "--height", str(failed))
    assert "Round 0: member 1 proposed nothing that reached us." in story
    assert "no proposal of member 1" in story
    assert "Round 1: " in story
    assert "Decided" in story

    # The machines somewhere in it.
    last = sum(1 for _ in files_of(traces[0])[-1].open("rb"))
    shown = fedsm("replay", traces[0], "--until", str(last))
    assert f"line {last}:" in shown
    assert "state      " in shown

    # A picture of it, and a test made of it.
    drawn = json.loads(fedsm("diagram", "round", "--format", "json", "--trace", traces[0]))
    assert sum(row["count"] for row in drawn["edges"] if row["trigger"] == "decide") == decided > 0
    fedsm("trace", "to-test", traces[0], "--height", str(failed), "--directory", tmp_path)
    check_recorded(tmp_path / f"height-{failed}-member-0.trace.jsonl")
