"""fedsm multisig: M and the members' public keys in, the block-signing script and what follows from it out."""

from __future__ import annotations

import json

import click

from fedsm.chains.address import elements_prefixes, p2sh_address, p2wsh_address
from fedsm.chains.script import Multisig, ScriptError
from fedsm.errors import FedsmError


@click.command()
@click.argument("threshold", metavar="M", type=int)
@click.argument("keys", metavar="PUBKEY...", nargs=-1, required=True)
@click.option("--chain", default="elementsregtest", show_default=True, help="Chain name, for the addresses.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def multisig(threshold: int, keys: tuple[str, ...], chain: str, as_json: bool) -> None:
    """Print the M-of-N block-signing script of the members' compressed public keys (hex).

    The order of the keys is the order of the members: the first key is that of --id 0.
    """
    script = build(threshold, keys)
    dynafed_size = script.worst_case_size(dynafed=True)
    result = {
        "m": script.m,
        "n": script.n,
        "script": script.script.hex(),
        "p2sh": p2sh_address(script, elements_prefixes(chain)),
        "p2wsh": p2wsh_address(script, elements_prefixes(chain)),
        "p2wsh_program": script.p2wsh_program.hex(),
        "max_block_witness": dynafed_size,
        "elements_conf": [f"signblockscript={script.script.hex()}", f"con_max_block_sig_size={dynafed_size}"],
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"{script.m}-of-{script.n} block-signing script:\n{result['script']}\n")
    click.echo(f"P2SH address:   {result['p2sh']}")
    click.echo(f"P2WSH address:  {result['p2wsh']}")
    click.echo(f"P2WSH program:  {result['p2wsh_program']}\n")
    click.echo("In every node's elements.conf (the limit fits the larger dynafed witness too):")
    click.echo("\n".join(result["elements_conf"]))  # type: ignore[arg-type]


def build(threshold: int, keys: tuple[str, ...]) -> Multisig:
    """The multisig of hex keys; FedsmError naming the key or number that is wrong."""
    decoded = []
    for position, key in enumerate(keys):
        try:
            decoded.append(bytes.fromhex(key))
        except ValueError:
            raise FedsmError(f"public key {position} is not hex: {key}") from None
    try:
        return Multisig(threshold, tuple(decoded))
    except ScriptError as error:
        raise FedsmError(str(error)) from None
