"""fedsm sim: the machines and guards of a whole federation, under faults, on a virtual clock."""

from __future__ import annotations

import time
from pathlib import Path

import click

from fedsm.errors import FedsmError
from fedsm.simulator.campaign import Campaign, Finding, Tally, write_traces
from fedsm.simulator.plan import MOST_ASSETS, Plan, faults_of, federation_of, tolerated
from fedsm.simulator.seeds import keep_seed

PROGRESS_S = 10.0


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the first run.")
@click.option("--members", metavar="M-of-N", default="3-of-5", show_default=True, help="The federation.")
@click.option("--quorum", type=int, help="Votes that decide a block.  [default: max(M, N//2 + 1)]")
@click.option("--rounds", type=click.IntRange(1), default=1000, show_default=True, help="How many, in all runs.")
@click.option("--seconds", type=click.FloatRange(0), help="Go on for so long; then --rounds is for each run.")
@click.option("--faults", default="all", show_default=True, help="Kinds to draw from: all, none, or a,b,c.")
@click.option("--hostile", type=click.IntRange(0), help="Members that lie.  [default: drawn, up to the tolerated]")
@click.option(
    "--assets", type=click.IntRange(0, MOST_ASSETS), help="That are reissued every few blocks.  [default: drawn]"
)
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), help="Add a run that fails to this list.")
@click.option(
    "--trace",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where to put the traces of a run that fails.  [default: here]",
)
def sim(
    seed: int,
    members: str,
    quorum: int | None,
    rounds: int,
    seconds: float | None,
    faults: str,
    hostile: int | None,
    assets: int | None,
    keep: Path | None,
    trace: Path,
) -> None:
    """Try to break the machines: run after run with random faults, each from its seed, each step checked.

    After its faults a run heals, and blocks must follow. Ends with status 0 if all is well, and with status 1, the
    command that does it again and traces if it is not.
    """
    try:
        plan = Plan(federation_of(members, quorum), seed, rounds, faults_of(faults), hostile, assets)
    except ValueError as error:
        raise FedsmError(str(error)) from None
    if hostile is not None and hostile > plan.quorum.members:
        raise FedsmError(f"--hostile {hostile}: there are {plan.quorum.members} members")
    begun = time.monotonic()
    campaign = Campaign(plan, seconds, _Progress().tell)
    finding = campaign.go()
    _say(campaign, time.monotonic() - begun)
    if finding is not None:
        _report(finding, keep, trace)
        raise FedsmError(f"seed {finding.smallest.seed}: {finding.smallest_violation}")


class _Progress:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._due = time.monotonic() + PROGRESS_S

    def tell(self, tally: Tally) -> None:
        """After each run."""
        if time.monotonic() >= self._due:
            click.echo(f"{tally.rounds} rounds in {tally.runs} runs, {tally.blocks} blocks", err=True)
            self._due = time.monotonic() + PROGRESS_S


def _say(campaign: Campaign, seconds: float) -> None:
    tally, plan = campaign.tally, campaign.plan
    quorum = plan.quorum
    hostile = f"up to {tolerated(quorum)}" if plan.hostile is None else str(plan.hostile)
    click.echo(
        f"{quorum.threshold}-of-{quorum.members} with Q {quorum.votes}, {hostile} hostile; seeds {plan.seed} to"
        f" {campaign.next_seed - 1}: {tally.rounds} rounds in {tally.runs} runs, {tally.blocks} blocks,"
        f" {tally.virtual_ms // 1000} s simulated in {seconds:.1f} s ({tally.rounds / seconds:.0f} rounds/s);"
        f" at most {tally.slowest_healing} rounds to heal"
    )
    click.echo(f"assets: reissued {tally.reissuances} times in {tally.reissue_runs} of the runs"
    )
    if tally.strikes:
        click.echo("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(tally.strikes.items())))


def _report(finding: Finding, keep: Path | None, folder: Path) -> None:
    """How to see again what was found; the run is kept and its traces are written."""
    smallest = finding.smallest
    directory = folder / f"sim-{smallest.quorum.threshold}-of-{smallest.quorum.members}-{smallest.seed}"
    try:
        write_traces(smallest, directory)
    except OSError as error:
        raise FedsmError(f"cannot write traces to {directory}: {error.strerror}") from None
    if keep is not None and keep_seed(keep, smallest, finding.violation.code):
        click.echo(f"added to {keep}")
    click.echo(f"traces: {directory}")
    click.echo(f"again:  {smallest.command}")
