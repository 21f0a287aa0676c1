"""`prunebench evaluate`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, config_options, gather, numbers, run_option


@click.command("evaluate", cls=Command)
@config_options("training", "pruning", "nothing", without=("until",))
@run_option
@click.option("--steps", callback=numbers, metavar="N,N", help="Steps to evaluate.  [default: the last]")
@click.option("--layers", is_flag=True, help="Print the weights of every layer and how many are left.")
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    steps: tuple[int, ...] | None,
    layers: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Compute anew, from its files, what a step of a run scores, and set it beside what was recorded."""
    console = Console(as_json, quiet)
    from prunebench.cli.finding import chosen_settings, config_as_computed, find_run
    from prunebench.cli.planning import machine_line
    from prunebench.errors import RunError
    from prunebench.experiment.loop import reevaluate
    from prunebench.experiment.resolve import resolve
    from prunebench.results import tables
    from prunebench.runs.commands import as_options

    given = gather(values, config_file)
    run = find_run(given, run_name, ("prune", "train"))
    if run is None:
        options = as_options({"model": "MODEL", **chosen_settings(given)})
        raise RunError(f"No run fits these options. Make one:  prunebench prune {options}")
    experiment = resolve(config_as_computed(run, given))
    console.note(f"run {run.key} on {machine_line(experiment.settings)}")
    rows = [["step", "metric", "test", "95 % interval", "recorded", "train", "recorded"]]
    for step in steps or run.steps()[-1:]:
        record = run.record(step)
        test, train = reevaluate(run, step, experiment)
        console.records([msgspec.structs.replace(record, test_after=test, train_after=train)])
        for metric in test.counted:
            of = [test, record.test_after, train, record.train_after]
            now, was, train_now, train_was = (f"{scores[metric]:.4f}" if metric in scores else "" for scores in of)
            known = tables.interval(test) if metric == test.main.name else ""
            rows.append([str(step), metric, now, known, was, train_now, train_was])
        if layers:
            console.result(f"step {step}\n{tables.layers(record)}\n")
    console.result(tables.align(rows))
