"""`prunebench completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print what has a SHELL complete commands, options, names and runs at the tab key.

    \b
    ~/.bashrc                    eval "$(prunebench completion bash)"
    ~/.zshrc, after compinit     eval "$(prunebench completion zsh)"
    ~/.config/fish/config.fish   prunebench completion fish | source
    """
    from prunebench.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None, "click has all three"
    click.echo(found(cli, {}, "prunebench", "_PRUNEBENCH_COMPLETE").source())
