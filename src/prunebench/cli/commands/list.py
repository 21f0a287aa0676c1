"""`prunebench list`."""

from __future__ import annotations

import click


@click.command("list")
def command() -> None:
    """Models, datasets, methods, criteria and backends, with a line each."""
    from prunebench.data.dataset import datasets
    from prunebench.latency.backends import backends
    from prunebench.models.architecture import models
    from prunebench.pruning.registry import criteria, methods

    width = 14
    for title, registry in (("models", models), ("datasets", datasets), ("backends", backends)):
        click.echo(f"{title}")
        for name in registry.names():
            click.echo(f"  {name:<{width}}  {registry.get(name).summary}")
        click.echo()
    click.echo("methods × criteria")
    for name in methods.names():
        method = methods.get(name)
        click.echo(f"  {name:<{width}}  {method.summary}")
        for criterion in criteria.names() if method.removes else ():
            mark = "  (default)" if criterion == method.criterion else ""
            click.echo(f"    × {criterion:<{width - 4}}  {criteria.get(criterion).summary}{mark}")
    click.echo("\nYour own: --model, --dataset or --criterion as path.py:function or package.module:function.")
