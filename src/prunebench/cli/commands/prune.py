"""`prunebench prune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunebench.cli.console import Console
from prunebench.cli.launched import with_devices
from prunebench.cli.options import Command, common_options, config_options, fresh_option, gather
from prunebench.cli.stopping import Stopping

if TYPE_CHECKING:
    from prunebench.experiment.experiment import Experiment
    from prunebench.records import StepRecord
    from prunebench.runs.run import Run


@click.command("prune", cls=Command)
@config_options("training", "pruning", "nothing")
@click.option("--backend", default="eager", show_default=True, metavar="NAME", help="Backend that goals are timed on.")
@click.option(
    "--export", "export_to", metavar="FILE", help="Write the goal's step, or the last: .safetensors, .pt2 or .onnx."
)
@click.option("--dry-run", is_flag=True, help="Print the plan with an estimate of disk, and write nothing.")
@fresh_option
@click.option("--redo", type=int, metavar="N", help="Compute step N anew; its files are kept in the run's aside.")
@common_options
def command(
    *,
    config_file: str | None,
    backend: str,
    export_to: str | None,
    dry_run: bool,
    fresh: bool,
    redo: int | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **values: Any,
) -> None:
    """Prune a model and fine-tune it, again and again, and record what is lost.

    Starts from the trained model of the same settings, training it first if need be. Defaults are those of the
    model, dataset and method, where they have one. The same command goes on where it was stopped.
    """
    console = Console(as_json, quiet)
    from prunebench.cli.exported import check_target
    from prunebench.cli.planning import announce_pruning
    from prunebench.experiment.existing import finished_records
    from prunebench.experiment.goals import GoalRecord
    from prunebench.experiment.plan import summary_lines
    from prunebench.latency.backends import backends
    from prunebench.results.matrices import write_steps
    from prunebench.results.tables import goal_lines, steps
    from prunebench.studies.stopping import done

    given = with_devices(gather(values, config_file))
    check_target(export_to, keep=given.keep)
    backends.get(backend)
    experiment = announce_pruning(console, given, dry_run=dry_run, fresh=fresh, redo=redo)
    if dry_run:
        return
    settings, run = experiment.settings, experiment.run
    check_target(export_to, run, experiment.dense)
    results_dir, iterations = settings.results_dir, settings.iterations
    records = (finished_records(run, settings) or []) if not settings.until else []
    answered = done(run, experiment, backend)
    console.records(records)
    if records and records[0].summary:
        console.note("\n".join(summary_lines(records[0].summary)))
    found: GoalRecord | None = None
    if not records:
        from prunebench.experiment.loop import prune
        from prunebench.studies.search import seek

        with Stopping() as stopping:
            tick, stop = console.tick, stopping.asked
            seeking = seek(experiment, run, backend=backend, progress=tick, stop=stop) if settings.until else None
            for record in seeking or prune(experiment, run, tick, stop):
                if isinstance(record, GoalRecord):
                    found = record
                    break
                records.append(record)
                console.records([record])
                if (
                    len(records) >= len(run.steps()) and not answered
                ):  # a matrix never loses the columns of steps that are there
                    write_steps(run, records, results_dir)
                console.note(step_line(record, iterations))
    paths = _write(console, experiment, records, answered)
    console.result("\n" + steps(records))
    if found is not None:
        console.records([found])
        console.result("\n" + goal_lines(found, iterations))
    step = records[-1].step if found is None else found.step
    if export_to is not None and step is not None:
        _export(console, run, step, experiment, Path(export_to))
    console.note("\n".join(["", *(f"written {path}" for path in paths), f"run {run.key} in {run.folder}"]))
    if found is not None and not found.reached:
        raise click.exceptions.Exit(1)


def _write(console: Console, experiment: Experiment, records: list[StepRecord], answered: bool) -> list[Path]:
    """Write the matrices of a run; of one that was finished before, on a disk that cannot be written to, say so, and
    tell trackers what they were not told."""
    from prunebench.errors import DiskError
    from prunebench.experiment.tracked import tell_again
    from prunebench.results.matrices import write_steps

    run, results_dir = experiment.run, experiment.settings.results_dir
    if answered:
        tell_again(experiment, experiment.dense, run)
    try:
        return write_steps(run, records if len(records) >= len(run.steps()) else run.records(), results_dir)
    except DiskError as error:
        if not answered:
            raise
        console.note(f"Warning: {error}")
        return []


def _export(console: Console, run: Run, step: int, experiment: Experiment, path: Path) -> None:
    from prunebench.cli.exported import write_export

    written = write_export(run, step, experiment.model, path)
    console.records([written])
    console.result("\n" + written.text())


def step_line(record: StepRecord, iterations: int) -> str:
    """`step 3/10  test accuracy 0.712 → 0.964  (about 40 s left)`."""
    main = record.test_after.main
    before = f"{record.test_before[main.name]:.3f} → " if record.step else ""
    left = remaining(record, iterations)
    return f"step {record.step}/{iterations}  test {main.title} {before}{record.test_after[main.name]:.3f}{left}"


def remaining(record: StepRecord, iterations: int) -> str:
    """`  (about 40 s left)`, if the steps to come take as long as this one; nothing where it cannot be told."""
    steps = iterations - record.step
    if record.step == 0 or steps == 0:
        return ""
    of = record.seconds
    seconds = steps * (of.prune + of.evaluate_before + of.finetune + of.evaluate_after)
    return f"  (about {seconds / 60:.0f} min left)" if seconds > 100 else f"  (about {seconds:.0f} s left)"
