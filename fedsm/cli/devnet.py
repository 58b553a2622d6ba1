"""fedsm devnet: the embedded chain, a few loopback nodes that answer like Elements Core or Ocean."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fedsm.ceremony.chain import params_of
from fedsm.chains.script import Multisig, ScriptError, parse_multisig
from fedsm.devnet.network import Devnet
from fedsm.devnet.ocean.node import OceanNode
from fedsm.devnet.ocean.params import ocean_params
from fedsm.devnet.params import FREE_COINS, federation_params
from fedsm.devnet.payments import Payments
from fedsm.devnet.service import RpcSettings
from fedsm.devnet.store import StoreError
from fedsm.errors import FedsmError
from fedsm.federation_file import load
from signers.base import SignerError
from signers.software import SoftwareSigner, generate_key, load_key, write_key_file

if TYPE_CHECKING:
    from fedsm.devnet.params import ChainParams
    from fedsm.devnet.service import NodeService

WIF_PREFIX = 239
MOST_NODES = 50
ELEMENTS_CHAIN, OCEAN_CHAIN = "fedsmdev", "fedsmocean"


@click.command()
@click.option(
    "--flavour",
    type=click.Choice(["elements", "ocean"]),
    default="elements",
    show_default=True,
    help="Whose nodes these are like.",
)
@click.option("--members", type=click.IntRange(1, 15), default=5, show_default=True, help="N, without a script.")
@click.option("--threshold", type=click.IntRange(1, 15), default=3, show_default=True, help="M, without a script.")
@click.option("--signblockscript", metavar="HEX", help="Bare M-of-N block-signing script, instead of new keys.")
@click.option(
    "--federation",
    type=click.Path(path_type=Path),
    help="Federation file of a new chain: its keys, name and coins, instead of the options for them.",
)
@click.option("--nodes", type=click.IntRange(1, MOST_NODES), help="Number of nodes; default: one per member.")
@click.option(
    "--base-port", type=click.IntRange(0, 65535), default=0, help="RPC port of the first node; 0: free ports."
)
@click.option(
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep blocks, cookies and member keys here and go on from them.",
)
@click.option("--chain", help="Name of the chain; part of its genesis block.  [default: fedsmdev, or fedsmocean]")
@click.option(
    "--dynafed/--no-dynafed", default=True, show_default=True, help="Elements: form of the blocks, from block 1 on."
)
@click.option(
    "--epoch-length",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Elements: blocks per dynafed epoch.",
)
@click.option(
    "--max-block-sig-size", type=click.IntRange(0), help="Elements: bytes; default: the federation's worst case."
)
@click.option(
    "--initial-free-coins",
    type=click.IntRange(0, FREE_COINS),
    default=FREE_COINS,
    help="Satoshi in an output of the genesis block that anyone can spend; default: all there can be.",
)
@click.option("--transactions", type=click.IntRange(0), default=0, help="Test payments to send for every block.")
@click.option("--rpcuser", help="RPC user name.")
@click.option("--rpcpassword", help="RPC password of all nodes; without one each makes a .cookie file.")
@click.option("--json", "as_json", is_flag=True, help="Describe the nodes in one JSON object on standard output.")
def devnet(
    flavour: str,
    members: int,
    threshold: int,
    signblockscript: str | None,
    federation: Path | None,
    nodes: int | None,
    base_port: int,
    datadir: Path | None,
    chain: str | None,
    dynafed: bool,
    epoch_length: int,
    max_block_sig_size: int | None,
    initial_free_coins: int,
    transactions: int,
    rpcuser: str | None,
    rpcpassword: str | None,
    as_json: bool,
) -> None:
    """Run nodes of a small chain until interrupted.

    They speak the JSON-RPC of Elements Core or of Ocean, so that daemons can be tried without them. Nobody signs
    blocks by itself here: that is the daemons' work. Without --signblockscript keys are made, one file per
    member, and kept with --datadir. The wallet of an Ocean node holds the key of its member, if keys are made.
    """
    with ExitStack() as stack:
        directory = datadir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedsm-devnet-")))
        directory.mkdir(parents=True, exist_ok=True)
        keys: list[Path] = []
        if federation is not None and flavour == "ocean":
            raise FedsmError("--federation describes a new Elements chain: use --flavour elements")
        params: ChainParams
        if federation is not None:
            file = load(federation)
            multisig, params = file.multisig, params_of(file)
        else:
            if signblockscript is None:
                multisig, keys = _own_federation(directory, members, threshold)
            else:
                multisig = _given_federation(signblockscript)
            if flavour == "ocean":
                params = ocean_params(multisig, chain=chain or OCEAN_CHAIN, initial_free_coins=initial_free_coins)
            else:
                params = federation_params(
                    multisig,
                    dynafed=dynafed,
                    chain=chain or ELEMENTS_CHAIN,
                    initial_free_coins=initial_free_coins,
                    max_block_sig_size=max_block_sig_size,
                    epoch_length=epoch_length,
                )
        network = Devnet(
            nodes or multisig.n,
            params,
            datadir=directory,
            base_port=base_port,
            rpc=RpcSettings(user=rpcuser, password=rpcpassword),
        )
        ended = _end_on_signal()
        _start(network)
        _fill_wallets(network, keys)
        stack.callback(network.stop)
        if transactions:
            payments = Payments(network, transactions)
            payments.start()
            stack.callback(payments.stop)
        _describe(network, multisig, keys, as_json=as_json)
        _wait(ended, network)


def _own_federation(directory: Path, members: int, threshold: int) -> tuple[Multisig, list[Path]]:
    """The federation of the key files in the directory, which are made where they are missing."""
    paths = [directory / f"member-{member}.key" for member in range(members)]
    try:
        for path in paths:
            if not path.exists():
                write_key_file(path, generate_key(), WIF_PREFIX)
        return Multisig(threshold, tuple(SoftwareSigner(load_key(path)).public_key for path in paths)), paths
    except (SignerError, ScriptError) as error:
        raise FedsmError(str(error)) from None


def _given_federation(script: str) -> Multisig:
    try:
        return parse_multisig(bytes.fromhex(script))
    except ValueError as error:
        raise FedsmError(f"--signblockscript: {error}") from None


def _fill_wallets(network: Devnet, keys: list[Path]) -> None:
    """Give each member's key to the wallet of the member's node, if it has one."""
    for service, path in zip(network.services, keys, strict=False):
        if isinstance(service.node, OceanNode):
            service.node.wallet.import_key(load_key(path), "member")


def _end_on_signal() -> threading.Event:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _start(network: Devnet) -> None:
    try:
        network.start()
    except StoreError as error:
        raise FedsmError(f"{error}: use another --datadir or the options it was made with") from None
    except OSError as error:
        raise FedsmError(f"cannot serve the nodes' ports: {error}") from None


def _wait(ended: threading.Event, network: Devnet) -> None:
    """Until a signal comes or every node was told to stop."""
    while not ended.wait(0.2):
        if not any(service.running for service in network.services):
            return


def _describe(network: Devnet, multisig: Multisig, keys: list[Path], *, as_json: bool) -> None:
    if as_json:
        genesis = network.services[0].node.chain.genesis.hash
        nodes = [_node_view(service) for service in network.services]
        view = {
            "chain": network.params.chain,
            "genesis": genesis,
            "signblockscript": multisig.script.hex(),
            "nodes": nodes,
            "keys": [str(path) for path in keys],
        }
        click.echo(json.dumps(view))
        return
    for service in network.services:
        access = f"cookie {service.cookie_file}" if service.cookie_file else "rpcuser and rpcpassword as given"
        click.echo(f"node {service.node.number}: {service.url}, {access}")
    for member, path in enumerate(keys):
        click.echo(f"member {member}: key file {path}")


def _node_view(service: NodeService) -> dict[str, object]:
    cookie = None if service.cookie_file is None else str(service.cookie_file)
    return {"number": service.node.number, "port": service.port, "url": service.url, "cookie": cookie}
