"""`prunebench damage`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prunebench.cli.console import Console
from prunebench.cli.options import Command, common_options, field_options, gather, trust_option
from prunebench.cli.stopping import Stopping

if TYPE_CHECKING:
    from prunebench.config import RunConfig
    from prunebench.records import DamageRecord
    from prunebench.runs.run import Run


@click.command("damage", cls=Command)
@click.argument("run_name", metavar="RUN")
@click.option("--step", type=int, metavar="N", help="The step to look at.  [default: the last]")
@field_options("model", "dataset", "criterion", "data_dir", "workers", "device", "threads", "deterministic", "runs_dir")
@trust_option
@common_options
def command(
    *, run_name: str, step: int | None, trust: bool, as_json: bool, quiet: bool, debug: bool, **values: Any
) -> None:
    """Say what a pruned model lost against its dense model on test data: by class, by kind of sample, by sample.

    RUN is a key of a pruning run, the beginning of one, or a folder. Answers that changed, agreement, calibration and
    the samples lost most often, over the seeds beside it; `report` shows these then, too.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.finding import find_run
    from prunebench.experiment.damages import kept
    from prunebench.results.damage import damage_of, step_of
    from prunebench.results.damage_tables import of_counts, told

    given = gather(values, None)
    run = find_run(given, run_name, ("prune",))
    assert run is not None, "it was named"
    step = step_of(run, step, _ended(run))
    if step not in run.checkpoints() and kept(run, step) is None:
        records = run.record(0), run.record(step)
        console.note(
            f"Run {run.key} has not kept the checkpoint of step {step} (--keep), and its answers went with it: "
            "what can still be said is how many are right."
        )
        console.records(records)
        console.result(of_counts(*records))
        return
    record = _record(console, given, run, step, trust)
    found = damage_of(record)
    console.records([found])
    console.result(f"{run.key}, step {step}\n{told(found, record)}")


def _record(console: Console, given: RunConfig, run: Run, step: int, trust: bool) -> DamageRecord:
    """What both models answer, computed if it is not there."""
    from prunebench.cli.finding import as_computed
    from prunebench.cli.planning import machine_line
    from prunebench.experiment.damage import damage
    from prunebench.results.damage import seeds_of

    experiment = as_computed(run, given, trusted=trust)
    console.note(f"run {run.key} on {machine_line(experiment.settings)}")
    with Stopping() as stopping:
        return damage(run, step, experiment, seeds_of(run), progress=console.tick, stop=stopping.asked)


def _ended(run: Run) -> bool:
    """Whether a run has all the steps that were asked for, or its search has ended."""
    from prunebench.experiment.existing import of_run
    from prunebench.studies.stopping import done

    return done(run, of_run(run, {}))
