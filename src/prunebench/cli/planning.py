"""Say what a run will do before it does it: on which data, from which weights, how far, and what it takes of disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import msgspec

from prunebench.cli.console import Console
from prunebench.config import RunConfig, Settings
from prunebench.data.dataset import no_downloads
from prunebench.errors import DownloadNeeded
from prunebench.experiment.checks import check_trains, check_used
from prunebench.experiment.existing import why_new
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.plan import pruning_plan, summary_lines, training_plan
from prunebench.experiment.resolve import resolve
from prunebench.records import Summary
from prunebench.runs.digests import counted, nothing_kept
from prunebench.runs.files import check_output, check_writable
from prunebench.runs.run import Run
from prunebench.studies.stopping import done


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run tells: the run and every setting, what is missing of it, and what that takes of disk, in bytes.

    `trainings` are those of dense models, `dense` the last of them. Where data or weights are not here yet, `needed`
    says so, and nothing is known of bytes and of what they are taken for.
    """

    run: str
    kind: str
    folder: str
    dense: str
    settings: dict[str, object]
    trainings: int
    steps: Sequence[int]
    bytes: int | None
    needed: str | None
    summary: Summary | None


def announce_training(console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False) -> Experiment:
    """Resolve a config, and print the plan of its training run."""
    with writing_nothing() if dry_run else nullcontext():
        experiment = resolve(given)
        check_trains(experiment)
        check_used(given, experiment)
        if not dry_run:
            experiment.note_code()
            experiment.fetch()
        if fresh and not dry_run:
            start_over(console, experiment.dense)
        _announce(console, experiment, experiment.dense, training_plan(experiment), dry_run)
        if dry_run:
            _foretell(console, experiment, experiment.dense, [])
    return experiment


def announce_pruning(
    console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False, redo: int | None = None
) -> Experiment:
    """Resolve a config, and print the plan of its pruning run."""
    with writing_nothing() if dry_run else nullcontext():
        experiment = resolve(given)
        check_used(given, experiment)
        if not dry_run:
            experiment.note_code()
            experiment.fetch()
        run = experiment.run
        if fresh and not dry_run:
            start_over(console, run)
        if redo is not None and not dry_run:
            run.redo(redo)
        _announce(console, experiment, run, pruning_plan(experiment), dry_run)
        if dry_run:
            there = set(run.steps())
            steps = [step for step in range(experiment.settings.iterations + 1) if step not in there]
            _foretell(console, experiment, run, steps)
    return experiment


@contextmanager
def writing_nothing() -> Iterator[None]:
    """Within it nothing is downloaded, and what is read of data is not remembered."""
    with no_downloads(), nothing_kept():
        yield


def start_over(console: Console, run: Run) -> None:
    """Set a run aside, so that it begins anew."""
    if place := run.set_aside():
        console.note(f"starting over; what there was is kept in {place}")


def machine_line(settings: Settings) -> str:
    """`cpu (AMD EPYC), 2 threads`: where it is computed; sets the number of threads."""
    from prunebench.training.device import environment, use

    device = use(settings)
    where = environment(device, settings.seed)
    several = f", on each of {settings.devices} devices" if settings.devices > 1 else ""
    return f"{device.type} ({where.hardware}), {counted(where.threads, 'thread')}{several}"


def _announce(console: Console, experiment: Experiment, run: Run, plan: Iterable[str], dry_run: bool) -> None:
    settings = experiment.settings
    say = console.result if dry_run else console.note
    answered = done(run, experiment)  # from its records: nothing need be written
    if not (dry_run or answered):
        check_writable(settings.runs_dir)
        check_output(Path(settings.results_dir), folder=True)
    if not run.steps():
        from prunebench.experiment.usable import check_usable

        with suppress(DownloadNeeded):
            check_usable(experiment, console.tick)  # what is wrong with it is told instead of the plan
    say("\n".join(plan))
    if dry_run or not answered:
        say(f"  machine  {machine_line(settings)}")
    if not run.steps() and (reason := why_new(run)):
        say(f"  new      {reason}")


def _foretell(console: Console, experiment: Experiment, run: Run, steps: Sequence[int]) -> None:
    """Print what data, weights and model are taken for, and what the steps that are missing will take of disk."""
    from prunebench.experiment.untrained import foretold, stored_bytes

    kind, trainings = run.manifest.kind, len(experiment.untrained_phases())
    summary = run.record(0).summary if run.steps() else None
    amount = needed = None
    try:
        summary = summary or foretold(experiment, pruned=kind == "prune")
        console.result("\n".join(summary_lines(summary)))
        sizes = stored_bytes(experiment, max(steps, default=0))
        amount = sum(sizes[step] for step in steps) + trainings * sizes[0]
        console.result(_disk(amount, len(steps), trainings))
    except DownloadNeeded as reason:
        needed = str(reason)
        console.result(f"  disk     can be told once the data is there. {reason}")
    stored = {name: value for name, value in run.manifest.config.items() if value is not None}
    plan = Plan(
        run=run.key,
        kind=kind,
        folder=str(run.folder),
        dense=experiment.dense.key,
        settings=stored,
        trainings=trainings,
        steps=steps,
        bytes=amount,
        needed=needed,
        summary=summary,
    )
    console.records([plan])


def _disk(total: int, steps: int, trainings: int) -> str:
    missing = [counted(steps, "step")] * bool(steps) + ([], ["the dense run"], ["two dense runs"])[trainings]
    return f"  disk     about {_amount(total)}: {' and '.join(missing)}" if missing else "  disk     nothing is missing"


def _amount(count: int) -> str:
    """`1.23 GB`, `4.5 MB`, `6.7 kB`."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
