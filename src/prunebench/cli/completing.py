"""Completing: what a shell offers for the value of an option or an argument. Nothing that takes long is imported.

Names are those of registries, of metrics, and of runs in the folder that --runs-dir names; elsewhere files and folders.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial

import click
from click.shell_completion import CompletionItem

from prunebench.runs.files import MARK

REGISTRIES = {
    "--model": ("prunebench.models.architecture", "models"),
    "--dataset": ("prunebench.data.dataset", "datasets"),
    "--method": ("prunebench.pruning.registry", "methods"),
    "--criterion": ("prunebench.pruning.registry", "criteria"),
    "--scope": ("prunebench.pruning.shares", "scopes"),
    "--sparsity-schedule": ("prunebench.pruning.amounts", "schedules"),
    "--retrain": ("prunebench.training.policies", "policies"),
    "--track": ("prunebench.tracking.trackers", "trackers"),
    "--backend": ("prunebench.latency.backends", "backends"),
    "--figure": ("prunebench.plots.registry", "plots"),
    "--executor": ("prunebench.studies.executors", "executors"),
}
"""Options whose values are the names of a registry: its module, and what it is called there."""

RUNS = ("--run", "--delete", "run_name", "a", "b")
"""Options and arguments whose values are runs."""

KINDS = {"DIR": "dir", "FILE": "file", "[FILES]...": "file", "[PATH]": "file", "[PATH]...": "file"}
"""What values are called that are paths, and what a shell calls them."""

Found = list[CompletionItem]


def with_values(command: click.Command) -> click.Command:
    """A command whose options and arguments offer values."""
    for parameter in command.params:
        if (offer := _offer(parameter)) is not None:
            vars(parameter)["shell_complete"] = offer
    return command


def _offer(parameter: click.Parameter) -> Callable[[click.Context, str], Found] | None:
    """What offers the values of a parameter; None where click does, by its type."""
    if type(parameter.type) is not type(click.STRING):
        return None
    name = next(
        (each for each in (*parameter.opts, str(parameter.name)) if each in (*REGISTRIES, *RUNS, "--metric")), ""
    )
    if name in REGISTRIES:
        return partial(_registered, *REGISTRIES[name])
    if name in RUNS:
        return _runs
    if name == "--metric":
        return _metrics
    kind = KINDS.get(parameter.metavar or "")
    return None if kind is None else partial(_paths, kind)


def _registered(module: str, name: str, context: click.Context, incomplete: str) -> Found:
    """Names of a registry; where none fits, files, as of `net.py:build`."""
    registry = getattr(importlib.import_module(module), name)
    return _fitting({name: registry.get(name).summary for name in registry.names()}, incomplete) or _paths(
        "file", context, incomplete
    )


def _metrics(context: click.Context, incomplete: str) -> Found:
    from prunebench.records import METRICS

    return _fitting({name: metric.title for name, metric in METRICS.items()}, incomplete)


def _runs(context: click.Context, incomplete: str) -> Found:
    """Keys of the runs in the folder that the line names so far; where none fits, folders."""
    root = str(context.params.get("runs_dir") or "runs")
    try:
        with os.scandir(root) as there:
            names = sorted(each.name for each in there if os.path.lexists(f"{each.path}/{MARK}"))
    except OSError:  # there is none
        names = []
    return _fitting(dict.fromkeys(names, ""), incomplete) or _paths("dir", context, incomplete)


def _paths(kind: str, context: click.Context, incomplete: str) -> Found:
    return [CompletionItem(incomplete, type=kind)]


def _fitting(names: Mapping[str, str], incomplete: str) -> Found:
    return [CompletionItem(name, help=about or None) for name, about in names.items() if name.startswith(incomplete)]
