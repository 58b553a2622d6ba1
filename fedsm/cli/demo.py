"""fedsm demo: a federation in real processes on this machine, with faults, verified at the end."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

from fedsm.chains.facts import facts_of
from fedsm.chains.header import parse_header
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import Multisig, ScriptError
from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.nodes import DevnetNodes, ElementsNodes, NodeAddress, Nodes
from fedsm.demo.scenario import Scenario
from fedsm.demo.screen import Screen
from fedsm.demo.verdict import Verdict, judge, signing_members
from fedsm.errors import FedsmError
from states.quorum import Quorum, default_vote_quorum


@click.command()
@click.option("--members", type=click.IntRange(1, 15), default=5, show_default=True, help="N.")
@click.option("--threshold", type=click.IntRange(1, 15), default=3, show_default=True, help="M.")
@click.option("--blocks", type=click.IntRange(1), default=12, show_default=True, help="Blocks to make.")
@click.option("--blocktime", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds.")
@click.option("--seed", default="1", show_default=True, help="Seed of the throw-away keys.")
@click.option(
    "--node",
    type=click.Choice(["devnet", "elementsd"]),
    default="devnet",
    show_default=True,
    help="Embedded chain, or real nodes ($ELEMENTSD or elementsd on PATH).",
)
@click.option("--dynafed/--no-dynafed", default=True, show_default=True, help="Form of the blocks.")
@click.option("--faults/--no-faults", default=True, show_default=True, help="Kill, restart and stop members.")
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and state here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, nothing else.")
def demo(
    members: int,
    threshold: int,
    blocks: int,
    blocktime: float,
    seed: str,
    node: str,
    dynafed: bool,
    faults: bool,
    workdir: Path | None,
    as_json: bool,
) -> None:
    """Run a federation: N daemons on N nodes make blocks while members are killed and stopped.

    Ends with status 0 only if every block verified and there was no fork.
    """
    secrets = demo_secrets(members, seed)
    try:
        multisig = multisig_of(secrets, threshold)
    except ScriptError as error:
        raise FedsmError(f"--threshold: {error}") from None
    if workdir is not None and workdir.exists() and any(workdir.iterdir()):
        raise FedsmError(f"--workdir {workdir} is not empty: a demo needs a directory of its own")
    with tempfile.TemporaryDirectory(prefix="fedsm-demo-") as temporary:
        directory = workdir or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        kind = DevnetNodes if node == "devnet" else ElementsNodes
        nodes: Nodes = kind(multisig, directory / "nodes", dynafed=dynafed)
        try:
            verdict = _play(nodes, secrets, multisig, directory, blocks, blocktime, faults=faults, quiet=as_json)
        except (RpcError, RpcUnavailable) as error:
            raise FedsmError(f"a node of the demo failed: {error}") from None
    if as_json:
        click.echo(json.dumps(verdict.as_dict()))
    sys.exit(0 if verdict.ok else 1)


def _play(
    nodes: Nodes,
    secrets: list[bytes],
    multisig: Multisig,
    directory: Path,
    blocks: int,
    blocktime: float,
    *,
    faults: bool,
    quiet: bool,
) -> Verdict:
    quorum = Quorum(multisig.n, multisig.m, default_vote_quorum(multisig.n, multisig.m))
    screen = Screen(multisig.n, quiet=quiet)
    try:
        nodes.start()
        screen.signers_of = lambda member, block_hash: _signers(nodes.addresses[member], block_hash, multisig)
        cast = Cast(secrets, nodes.addresses, directory, blocktime, on_line=screen.hear)
        scenario = Scenario(cast, quorum, blocks, blocktime, screen, faults=faults)
        try:
            with screen:
                problem = scenario.run()
            verdict = judge(cast, nodes.addresses, multisig, quorum, blocks)
        finally:
            cast.close()
    finally:
        nodes.close()
    if problem is not None:
        verdict.faults.append(problem)
        verdict.ok = False
    verdict.killed, verdict.restarted, verdict.stopped = scenario.killed, scenario.restarted, scenario.stopped
    screen.summary(verdict)
    return verdict


def _signers(node: NodeAddress, block_hash: str, multisig: Multisig) -> str:
    """The members that signed a block, as its header shows it."""
    try:
        header = parse_header(bytes.fromhex(node.rpc().call("getblockheader", [block_hash, False])))[0]
    except (RpcError, RpcUnavailable):
        return ""  # this node has not got it yet
    return " ".join(map(str, signing_members(facts_of(header), multisig)))
