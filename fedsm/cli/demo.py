"""fedsm demo: a federation in real processes on this machine, with faults, verified at the end."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import click

from fedsm.chains.facts import facts_of
from fedsm.chains.header import parse_header
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import Multisig, ScriptError
from fedsm.demo.broker import Broker
from fedsm.demo.cast import Cast, demo_secrets, multisig_of
from fedsm.demo.inflation_plot import InflationScenario
from fedsm.demo.inflation_verdict import TakeOver, judge_inflation, judge_payments
from fedsm.demo.leaders import leaders_in
from fedsm.demo.links import LinkKind, Links
from fedsm.demo.nodes import DevnetNodes, ElementsNodes, NodeAddress, Nodes
from fedsm.demo.scenario import Scenario
from fedsm.demo.screen import Screen
from fedsm.demo.treasury import Treasury
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
@click.option(
    "--flavour",
    type=click.Choice(["elements", "ocean"]),
    default="elements",
    show_default=True,
    help="Kind of the embedded chain.",
)
@click.option(
    "--transport",
    type=click.Choice(get_args(LinkKind)),
    default="zmq",
    show_default=True,
    help="Links: plain ZeroMQ, with CURVE, Kafka, or ZeroMQ and Kafka at once.",
)
@click.option("--kafka", help="Kafka broker to use, host:port.  [default: start one]")
@click.option("--dynafed/--no-dynafed", default=True, show_default=True, help="Form of the blocks.")
@click.option("--faults/--no-faults", default=True, show_default=True, help="Kill, restart and stop members.")
@click.option(
    "--inflation",
    "inflate",
    is_flag=True,
    help="Issue two assets, pay with them and reissue them, over three periods; a leader is killed in one.",
)
@click.option(
    "--inflation-period",
    type=click.IntRange(4, 1000),
    default=8,
    show_default=True,
    help="Blocks from one reissuance to the next.",
)
@click.option("--workdir", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and state here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output, nothing else.")
def demo(
    members: int,
    threshold: int,
    blocks: int,
    blocktime: float,
    seed: str,
    node: str,
    flavour: str,
    transport: LinkKind,
    kafka: str | None,
    dynafed: bool,
    faults: bool,
    inflate: bool,
    inflation_period: int,
    workdir: Path | None,
    as_json: bool,
) -> None:
    """Run a federation: N daemons on N nodes make blocks while members are killed and stopped.

    Ends with status 0 only if every block verified and there was no fork. With --inflation it runs for as many
    blocks as that takes, and every reissuance that was due must have come once, by the amount of the rule.
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
        nodes = _nodes(node, flavour, multisig, directory / "nodes", dynafed=dynafed)
        try:
            with _broker(transport, kafka, directory) as broker:
                links = Links(transport, members, broker)
                stage = Stage(nodes, secrets, multisig, links, directory, inflation_period if inflate else None)
                verdict = _play(stage, blocks, blocktime, faults=faults, quiet=as_json)
        except (RpcError, RpcUnavailable) as error:
            raise FedsmError(f"a node of the demo failed: {error}") from None
    if as_json:
        click.echo(json.dumps(verdict.as_dict()))
    sys.exit(0 if verdict.ok else 1)


def _nodes(node: str, flavour: str, multisig: Multisig, directory: Path, *, dynafed: bool) -> Nodes:
    if node == "devnet":
        return DevnetNodes(multisig, directory, dynafed=dynafed, flavour=flavour)
    if flavour == "ocean":
        raise FedsmError("--flavour ocean goes with --node devnet")
    return ElementsNodes(multisig, directory, dynafed=dynafed)


@contextmanager
def _broker(transport: LinkKind, address: str | None, directory: Path) -> Iterator[str | None]:
    """The address of the Kafka broker that the links need: the one named, or one started for the demo."""
    if transport in ("zmq", "curve") or address is not None:
        yield address
        return
    with Broker(directory) as broker:
        yield broker.address


@dataclass(frozen=True)
class Stage:
    """What a demo is played on. ``period`` is in blocks, None if nothing is reissued."""

    nodes: Nodes
    secrets: list[bytes]
    multisig: Multisig
    links: Links
    directory: Path
    period: int | None


def _play(stage: Stage, blocks: int, blocktime: float, *, faults: bool, quiet: bool) -> Verdict:
    nodes, multisig = stage.nodes, stage.multisig
    quorum = Quorum(multisig.n, multisig.m, default_vote_quorum(multisig.n, multisig.m))
    screen = Screen(multisig.n, quiet=quiet)
    try:
        nodes.start()
        genesis = nodes.addresses[0].rpc().call("getblockhash", [0])
        stage.links.prepare(stage.directory, multisig, genesis, blocktime)
        screen.signers_of = lambda member, block_hash: _signers(nodes.addresses[member], block_hash, multisig)
        treasury = None
        if stage.period is not None:
            treasury = Treasury.open(nodes.addresses[0], multisig, stage.period, blocktime)
        cast = Cast(
            stage.secrets,
            nodes.addresses,
            stage.directory,
            blocktime,
            on_line=screen.hear,
            links=stage.links,
            extra=() if treasury is None else treasury.options,
        )
        scenario = _scenario(cast, quorum, blocks, blocktime, screen, treasury, faults=faults)
        try:
            with screen:
                problem = scenario.run()
            verdict = judge(cast, nodes.addresses, multisig, quorum, blocks)
        finally:
            cast.close()
        if treasury is not None and isinstance(scenario, InflationScenario):
            _judge_inflation(verdict, stage, cast, treasury, scenario.take_over)
    finally:
        nodes.close()
    if problem is not None:
        verdict.add_fault(problem)
    verdict.killed, verdict.restarted, verdict.stopped = scenario.killed, scenario.restarted, scenario.stopped
    screen.summary(verdict)
    return verdict


def _scenario(
    cast: Cast,
    quorum: Quorum,
    blocks: int,
    blocktime: float,
    screen: Screen,
    treasury: Treasury | None,
    *,
    faults: bool,
) -> Scenario:
    if treasury is None:
        return Scenario(cast, quorum, blocks, blocktime, screen, faults=faults)
    return InflationScenario(cast, quorum, blocks, blocktime, screen, treasury, faults=faults)


def _judge_inflation(
    verdict: Verdict, stage: Stage, cast: Cast, treasury: Treasury, take_over: TakeOver | None
) -> None:
    """With the daemons gone the chains stand still."""
    ledgers = [treasury.ledger(node) for node in stage.nodes.addresses]
    leaders = leaders_in(stage.directory)
    inflation = treasury.config.inflation
    outcome = judge_inflation(ledgers, treasury.issued, inflation, cast, leaders, verdict.members)
    judge_payments(outcome, treasury)
    outcome.take_over = take_over
    verdict.take_inflation(outcome)


def _signers(node: NodeAddress, block_hash: str, multisig: Multisig) -> str:
    """The members that signed a block, as its header shows it."""
    try:
        header = parse_header(bytes.fromhex(node.rpc().call("getblockheader", [block_hash, False])))[0]
    except (RpcError, RpcUnavailable):
        return ""  # this node has not got it yet
    return " ".join(map(str, signing_members(facts_of(header), multisig)))
