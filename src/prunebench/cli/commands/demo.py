"""`prunebench demo`."""

from __future__ import annotations

import click

STEPS = (
    "prune --model resnet18 --method structured --fraction 0.1 --iterations 10",
    "efficiency --model resnet18 --steps 5,10 --batch-sizes 1,16",
)


@click.command("demo")
@click.pass_context
def command(context: click.Context) -> None:
    """Prune ResNet18 on the bundled digits in ten steps, then time it: a few minutes, no network."""
    from prunebench.cli.main import cli

    for line in STEPS:
        click.echo(f"\n$ prunebench {line}", err=True)
        if status := cli.main(line.split(), standalone_mode=False, prog_name="prunebench"):
            context.exit(status)
    click.echo("\nResults are in performance/, the run with its checkpoints in runs/.")
