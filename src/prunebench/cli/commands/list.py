"""`prunebench list`."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import click

WIDTH = 16
"""Signs of the column of names."""


@click.command("list")
@click.option("--models", "pattern", metavar="GLOB", help="Names of models that fit, one a line, such as 'timm:vit*'.")
def command(pattern: str | None) -> None:
    """Models, datasets, methods, criteria and backends, with a line each; or the models that fit a pattern."""
    if pattern is None:
        for line in _everything():
            click.echo(line)
        return
    for name in _models(pattern):
        click.echo(name)


def _everything() -> Iterator[str]:
    from prunebench.data.dataset import datasets
    from prunebench.latency.backends import backends
    from prunebench.models.architecture import models
    from prunebench.pruning.amounts import schedules
    from prunebench.pruning.granularity import patterns
    from prunebench.pruning.registry import criteria, methods, needs, of_samples
    from prunebench.pruning.shares import scopes
    from prunebench.registry import FOLDERS, LIBRARIES
    from prunebench.training.policies import policies

    for title, registry in (("models", models), ("datasets", datasets), ("backends", backends)):
        yield title
        yield from (f"  {name:<{WIDTH}}  {registry.get(name).summary}" for name in registry.names())
        for library in registry.libraries():
            yield f"  {f'{library}:NAME':<{WIDTH}}  {LIBRARIES[registry.kind][library]}"
        yield ""
    yield "methods × criteria"
    for name in methods.names():
        method = methods.get(name)
        yield f"  {name:<{WIDTH}}  {method.summary}"
        for criterion in map(criteria.get, criteria.names()) if method.removes else ():
            if (ranking := method.fitting(criterion)) is not None:
                mark = "  (default)" if criterion.name == method.criterion else ""
                looks = f"; asks data for: {', '.join(asked)}" if (asked := of_samples(needs(ranking))) else ""
                yield f"    × {criterion.name:<{WIDTH - 4}}  {criterion.summary}{looks}{mark}"
    for title, entries in (
        ("scopes", scopes),
        ("patterns of unstructured pruning", patterns),
        ("sparsity schedules, s the target and t the share of iterations done", schedules),
        ("ways of retraining", policies),
    ):
        yield ""
        yield title
        yield from (f"  {name:<{WIDTH}}  {entries.get(name).summary}" for name in entries.names())
    yield ""
    yield "other names"
    yield from (f"  {alias:<{WIDTH}}  criterion {name}" for alias, name in criteria.aliases().items())
    yield from (f"  {alias:<{WIDTH}}  scope {name}" for alias, name in scopes.aliases().items())
    yield from (f"  {alias:<{WIDTH}}  sparsity schedule {name}" for alias, name in schedules.aliases().items())
    yield ""
    yield "Your own: --model, --dataset or --criterion as path.py:function or package.module:function."
    searched = " or ".join(f"'{name}:*'" for name in models.libraries() if f"{name}:" != FOLDERS)
    yield f"Names that libraries have: prunebench list --models {searched}."


def _models(pattern: str) -> list[str]:
    """Names of models that fit a glob: with a library's prefix those of the library, else those that are built in, and
    of the libraries that are installed.

    Raises:
        UnknownName: there is none.
        ConfigError: the library is not installed, or has no list of its names.
    """
    from prunebench.errors import ConfigError, UnknownName
    from prunebench.models.architecture import models
    from prunebench.registry import LIBRARIES

    prefix, colon, own = pattern.partition(":")
    libraries = models.libraries()
    what = LIBRARIES["model"].get(prefix, "") if colon else ""
    if colon and prefix not in libraries:
        has = f"{prefix}:NAME is {what}" if what else f"there are: {', '.join(libraries)}"
        raise UnknownName(f"--models {pattern}: {prefix} has no list of names; {has}.")
    if colon:
        found = [f"{prefix}:{name}" for name in libraries[prefix].search(own)]
    else:
        found = [name for name in models.names() if fnmatchcase(name, pattern)]
        for library, of in libraries.items():
            try:
                found += [f"{library}:{name}" for name in of.search(pattern)]
            except ConfigError as error:
                click.echo(f"{library}: {error}", err=True)
    if not found:
        raise UnknownName(f"--models {pattern}: no model fits." + (f" {prefix}:NAME is {what}." if what else ""))
    return found
