"""fedsm federation: who signs, and what the federation withstands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fedsm.access import open_rpc
from fedsm.chains.base import ChainError
from fedsm.chains.rpc import RpcError, RpcUnavailable
from fedsm.chains.script import Multisig, ScriptError, parse_multisig
from fedsm.chains.selection import open_chain
from fedsm.cli.federation_assemble import assemble
from fedsm.cli.federation_join import join
from fedsm.cli.options import node_access, node_options, option
from fedsm.errors import FedsmError
from fedsm.federation_file import load
from states.quorum import Quorum, default_vote_quorum


@click.group(invoke_without_command=True)
@option("--federation", "file", type=click.Path(path_type=Path), help="The federation file that members share.")
@option("--signblockscript", help="The multisig script (hex); without it and without a file the node is asked.")
@option("--quorum", type=click.IntRange(1), help="Votes that decide a block, Q.  [default: max(M, N//2 + 1)]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@node_options
@click.pass_context
def federation(
    ctx: click.Context,
    /,
    file: Path | None,
    signblockscript: str | None,
    quorum: int | None,
    as_json: bool,
    **node: Any,
) -> None:
    """Print N, M, Q and the members, and how many may crash or must lie before the federation fails.

    With a command: make a federation, or join one.
    """
    if ctx.invoked_subcommand is not None:
        return
    shared = None if file is None else load(file)
    if shared is not None:
        script, quorum = shared.multisig, quorum or shared.quorum
    else:
        script = _parse(signblockscript) if signblockscript is not None else _ask_node(node)
    try:
        numbers = Quorum(script.n, script.m, quorum or default_vote_quorum(script.n, script.m))
    except ValueError as error:
        raise FedsmError(f"--quorum: {error}") from None
    if as_json:
        click.echo(json.dumps(_summary(script, numbers) | ({} if shared is None else {"digest": shared.digest})))
        return
    if shared is not None:
        click.echo(f"digest {shared.digest}\nread   {shared.spoken}\nchain  {shared.chain}")
    click.echo(
        f"N = {numbers.members} members, M = {numbers.threshold} block signatures, Q = {numbers.votes} votes"
    )
    for member, key in enumerate(script.public_keys):
        click.echo(f"  member {member}  {key.hex()}")
    click.echo(f"Blocks go on with up to {numbers.crash_tolerance} members down (N - max(Q, M)).")
    liars = numbers.equivocators_for_two_decisions
    click.echo(f"Two blocks can be decided at one height only if {liars} or more members vote two ways (2Q - N).")


federation.add_command(assemble)
federation.add_command(join)


def _summary(script: Multisig, numbers: Quorum) -> dict[str, object]:
    return {
        "n": numbers.members,
        "m": numbers.threshold,
        "q": numbers.votes,
        "members": [{"id": i, "public_key": key.hex()} for i, key in enumerate(script.public_keys)],
        "crash_tolerance": numbers.crash_tolerance,
        "equivocators_for_two_decisions": numbers.equivocators_for_two_decisions,
    }


def _parse(script: str) -> Multisig:
    try:
        return parse_multisig(bytes.fromhex(script))
    except (ScriptError, ValueError) as error:
        raise FedsmError(f"--signblockscript: {error}") from None


def _ask_node(node: dict[str, Any]) -> Multisig:
    access = node_access(node)
    if access.cookie_file is None and (access.user is None or access.password is None):
        raise FedsmError("give --signblockscript, or --rpcuser and --rpcpassword or --rpccookiefile of a node")
    try:
        return open_chain(open_rpc(access)).federation().multisig
    except (RpcError, RpcUnavailable, ChainError) as error:
        raise FedsmError(str(error)) from None
