"""The fedsm command: one file per subcommand; without a subcommand it runs the daemon."""

from __future__ import annotations

import sys

import click

from fedsm.cli.completion import completion
from fedsm.cli.demo import demo
from fedsm.cli.devnet import devnet
from fedsm.cli.diagram import diagram
from fedsm.cli.doctor import doctor
from fedsm.cli.explain import explain
from fedsm.cli.federation import federation
from fedsm.cli.guard import guard
from fedsm.cli.hsm import hsm
from fedsm.cli.init import init
from fedsm.cli.inspect_block import inspect_block
from fedsm.cli.keygen import keygen
from fedsm.cli.multisig import multisig
from fedsm.cli.reissue import reissue
from fedsm.cli.replay import replay
from fedsm.cli.run import run
from fedsm.cli.sim import sim
from fedsm.cli.status import status
from fedsm.cli.trace import trace
from fedsm.cli.watch import watch
from fedsm.errors import FedsmError
from fedsm.version import full_version


class RunByDefault(click.Group):
    """Takes ``fedsm --id 1 ...`` for ``fedsm run --id 1 ...``, as operators of the old daemon type it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default subcommand in front of options that are not the group's own."""
        own = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(full_version(), prog_name="fedsm")
def cli() -> None:
    """Signs blocks of a federated sidechain, together with the other members' daemons.

    Without a subcommand: run a member's daemon (fedsm --id N ... is fedsm run --id N ...).
    """


_COMMANDS = (
    *(run, init, status, watch, doctor, demo, devnet, keygen, hsm, multisig, federation, inspect_block, guard),
    *(reissue, replay, explain, trace, diagram, sim),
)
for command in (*_COMMANDS, completion):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors an operator can mend end in one line and a status, never in a traceback."""
    try:
        cli.main(prog_name="fedsm")
    except FedsmError as error:
        print(f"fedsm: {error}", file=sys.stderr)  # noqa: T201 - the one line
        sys.exit(error.status)
