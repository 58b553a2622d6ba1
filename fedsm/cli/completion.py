"""fedsm completion: the Tab key for a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_FEDSM_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, /, shell: str) -> None:
    """Print what makes a SHELL complete fedsm's commands and options.

    bash: eval "$(fedsm completion bash)" in ~/.bashrc; zsh: the same in ~/.zshrc; fish: fedsm completion fish >
    ~/.config/fish/completions/fedsm.fish
    """
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(ctx.find_root().command, {}, "fedsm", VARIABLE).source())
