"""`prunebench evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, config_options, gather, numbers, run_option, trust_option

if TYPE_CHECKING:
    from prunebench.config import RunConfig


@click.command("evaluate", cls=Command)
@config_options("training", "pruning", "nothing", without=("until", "devices", "track"))
@run_option
@click.option("--steps", callback=numbers, metavar="N,N", help="Steps to evaluate.  [default: the last]")
@click.option("--layers", is_flag=True, help="Print the weights of every layer and how many are left.")
@trust_option
@common_options
def command(
    *,
    config_file: str | None,
    run_name: str | None,
    steps: tuple[int, ...] | None,
    layers: bool,
    trust: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Compute anew, from its files, what a step of a run scores, and set it beside what was recorded.

    With --model and --weights FILE, a file or folder of weights is scored as it is, without a run.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.finding import as_computed, chosen_settings, find_run, weights_alone
    from prunebench.cli.planning import machine_line
    from prunebench.errors import RunError
    from prunebench.experiment.loop import reevaluate
    from prunebench.results import tables
    from prunebench.runs.apart import data_told
    from prunebench.runs.commands import as_options

    given = gather(values, config_file)
    alone = run_name is None and steps is None and weights_alone(given)
    run = None if alone else find_run(given, run_name, ("prune", "train"))
    if run is None and (alone or (run_name is None and given.model and given.weights not in (None, "none"))):
        _score_weights(console, given, layers)
        return
    if run is None:
        place = {} if given.data_dir is None else {"data_dir": given.data_dir}
        options = as_options({"model": "MODEL", **chosen_settings(given), **place})
        raise RunError(f"No run fits these options. Make one:  prunebench prune {options}")
    experiment = as_computed(run, given, trusted=trust)
    console.note(f"run {run.key} ({data_told(run)}) on {machine_line(experiment.settings)}")
    rows = [["step", "metric", "test", "95 % interval", "recorded", "train", "recorded"]]
    for step in steps or run.steps()[-1:]:
        if step in run.steps() and step not in run.checkpoints():
            have = ", ".join(map(str, run.checkpoints())) or "none"
            raise RunError(
                f"Run {run.key} has not kept the checkpoint of step {step} (--keep), so there is nothing to compute it "
                f"from; it has those of: {have}. What was recorded:  prunebench report {run.folder}"
            )
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


def _score_weights(console: Console, given: RunConfig, layers: bool) -> None:
    """Print what weights score as they are."""
    from prunebench.cli.planning import machine_line
    from prunebench.experiment.given import as_given, score_given
    from prunebench.experiment.plan import summary_lines
    from prunebench.results import tables

    experiment = as_given(given)
    console.note(f"weights {experiment.settings.weights} on {machine_line(experiment.settings)}")
    record = score_given(experiment, console.tick)
    console.records([record])
    if record.summary:
        console.note("\n".join(summary_lines(record.summary)))
    rows = [["metric", "test", "95 % interval", "train"]]
    for metric in record.test_after.counted:
        known = tables.interval(record.test_after) if metric == record.test_after.main.name else ""
        rows.append([metric, f"{record.test_after[metric]:.4f}", known, f"{record.train_after[metric]:.4f}"])
    if layers:
        console.result(f"{tables.layers(record)}\n")
    console.result(tables.align(rows))
