"""Say what a run will do before it does it: on which data, from which weights, how far, and what it takes of disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from prunebench.cli.console import Console
from prunebench.config import RunConfig, Settings
from prunebench.data.dataset import no_downloads
from prunebench.errors import DownloadNeeded
from prunebench.experiment.checks import check_used
from prunebench.experiment.existing import finished, why_new
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.plan import pruning_plan, training_plan
from prunebench.experiment.resolve import resolve
from prunebench.runs.digests import counted, nothing_kept
from prunebench.runs.files import check_writable
from prunebench.runs.run import Run


def announce_training(console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False) -> Experiment:
    """Resolve a config, and print the plan of its training run."""
    with writing_nothing() if dry_run else nullcontext():
        experiment = resolve(given)
        check_used(given, experiment)
        if not dry_run:
            experiment.fetch()
        if fresh and not dry_run:
            start_over(console, experiment.dense)
        _announce(console, experiment, experiment.dense, training_plan(experiment), dry_run)
        if dry_run:
            console.result(_disk(experiment, []))
    return experiment


def announce_pruning(
    console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False, redo: int | None = None
) -> Experiment:
    """Resolve a config, and print the plan of its pruning run."""
    with writing_nothing() if dry_run else nullcontext():
        experiment = resolve(given)
        check_used(given, experiment)
        if not dry_run:
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
            console.result(_disk(experiment, steps))
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
    return f"{device.type} ({where.hardware}), {counted(where.threads, 'thread')}"


def _announce(console: Console, experiment: Experiment, run: Run, plan: Iterable[str], dry_run: bool) -> None:
    settings = experiment.settings
    say = console.result if dry_run else console.note
    if not dry_run and not run.steps():
        _ = experiment.dataset  # what is wrong with it is told instead of the plan
    say("\n".join(plan))
    if dry_run or not finished(run, settings):
        say(f"  machine  {machine_line(settings)}")
    if not run.steps() and (reason := why_new(run)):
        say(f"  new      {reason}")
    if not dry_run:
        check_writable(settings.runs_dir)
        check_writable(settings.results_dir)


def _disk(experiment: Experiment, steps: Sequence[int]) -> str:
    """What the checkpoints of the steps, and of the dense models that are to be trained, will take of disk."""
    from prunebench.experiment.untrained import stored_bytes

    try:
        sizes = stored_bytes(experiment, max(steps, default=0))
    except DownloadNeeded as reason:
        return f"  disk     can be told once the data is there. {reason}"
    trainings = len(experiment.untrained_phases())
    total = sum(sizes[step] for step in steps) + trainings * sizes[0]
    missing = [counted(len(steps), "step")] * bool(steps) + ([], ["the dense run"], ["two dense runs"])[trainings]
    return f"  disk     about {_amount(total)}: {' and '.join(missing)}" if missing else "  disk     nothing is missing"


def _amount(count: int) -> str:
    """`1.23 GB`, `4.5 MB`, `6.7 kB`."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
