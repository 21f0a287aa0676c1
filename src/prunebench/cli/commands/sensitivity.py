"""`prunebench sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunebench.cli.console import Console
from prunebench.cli.options import (
    Command,
    common_options,
    config_options,
    decimals,
    gather,
    run_option,
    trust_option,
)
from prunebench.cli.pictures import check_picture, theme_option, write_picture
from prunebench.cli.stopping import Stopping
from prunebench.config import OF_RETRAINING, OF_TUNING, default
from prunebench.config import given as given_fields
from prunebench.errors import ConfigError, RunError

if TYPE_CHECKING:
    from prunebench.config import RunConfig
    from prunebench.experiment.experiment import Experiment
    from prunebench.records import SensitivityRecord
    from prunebench.runs.run import Run

HOW = ("method", "criterion", "calibration", "targets", "include", "exclude", "prune", "through_norms")
"""Settings of pruning that matter where each layer is pruned alone."""

UNUSED = (
    *("until", "iterations", "fraction", "scope", "round_to", "layer_fraction", "floor", "keep", "results_dir"),
    *("retrain", *OF_RETRAINING, *OF_TUNING, "devices", "track"),
)
"""Those that do not."""


@click.command("sensitivity", cls=Command)
@config_options("training", "pruning", "nothing", without=UNUSED)
@run_option
@click.option(
    "--shares", callback=decimals, metavar="X,X", default="0.1,0.3,0.5,0.7,0.9", show_default=True,
    help="Shares of each layer that are removed.",
)  # fmt: skip
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    metavar="N",
    help="Most samples scored.",
)
@click.option("-o", "--picture", "path", metavar="FILE", help="Draw a heat map as well, a .png, .svg or .pdf.")
@theme_option()
@trust_option
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    shares: tuple[float, ...],
    samples: int,
    path: str | None,
    theme: str,
    trust: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Prune each layer of a trained model alone, by several shares, and show what that loses, without training.

    A layer is a weight where single weights are pruned, a group of units where whole units are. Starts from the trained
    model of the same settings, training it first if need be, or with --run from that of a run. What is scored is
    training data that --validation holds out, else the training data itself, never the test data.
    """
    console = Console(as_json, quiet)
    from prunebench.experiment.sensitivity import check_method, sensitivity
    from prunebench.results.sensitivity import grid_of, table

    given, shares = gather(values, config_file), _checked(shares)
    if path is not None:
        check_picture(path)
    cells: list[SensitivityRecord] = []
    with Stopping() as stopping:
        if run_name is None:
            experiment, run = _trained(console, given, stopping)
        else:
            experiment, run = _of_run(console, given, run_name, trust)
        check_method(experiment)
        tick, stop = console.tick, stopping.asked
        for cell in sensitivity(experiment, run, shares, samples=samples, progress=tick, stop=stop):
            console.records([cell])
            cells.append(cell)
    grid = grid_of(cells)
    console.result(f"{run.key}\n{table(grid)}")
    if path is not None:
        from prunebench.plots.sensitivity import picture

        write_picture(lambda: picture(grid), Path(path), theme)
        console.note(f"written {path}")


def _checked(shares: tuple[float, ...]) -> tuple[float, ...]:
    """Shares ascending, each once; raises ConfigError where one is none."""
    if wrong := [share for share in shares if not 0 < share < 1]:
        raise ConfigError(f"--shares {wrong[0]:g}: a share is between 0 and 1, such as 0.5.")
    return tuple(sorted(set(shares)))


def _trained(console: Console, given: RunConfig, stopping: Stopping) -> tuple[Experiment, Run]:
    """The experiment of a config and its dense run, trained now if it is not there."""
    from prunebench.cli.planning import announce_training
    from prunebench.experiment.loop import train
    from prunebench.experiment.resolve import resolve
    from prunebench.experiment.sensitivity import check_method

    check_method(resolve(given))  # before anything is told or trained
    experiment = announce_training(console, given)
    run = experiment.dense
    if not run.steps():
        train(experiment, run, console.tick, stopping.asked)
    return experiment, run


def _of_run(console: Console, given: RunConfig, name: str, trust: bool) -> tuple[Experiment, Run]:
    """The experiment of a run, pruned as the options say, and the dense run that it starts from."""
    import msgspec

    from prunebench.cli.finding import as_computed, find_run
    from prunebench.cli.planning import machine_line
    from prunebench.experiment.existing import pruned_otherwise
    from prunebench.runs.index import find

    how = {field: value for field, value in given_fields(given).items() if field in HOW}
    run = find_run(msgspec.structs.replace(given, **dict.fromkeys(how)), name, ("train", "prune"))
    assert run is not None, "it was named"
    if run.manifest.kind == "train":  # how it was pruned first is no part of it
        how = {name: default(name) for name in HOW if name not in ("criterion", "targets")} | how
    experiment = pruned_otherwise(as_computed(run, given, trusted=trust), how)
    console.note(f"run {run.key} on {machine_line(experiment.settings)}")
    if run.manifest.kind == "prune":
        if run.manifest.source is None:
            raise RunError(f"Run {run.key} does not say which trained model it started from; name that run.")
        run = find(run.root, run.manifest.source)
    return experiment, run
