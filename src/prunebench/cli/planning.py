"""Say what a run will do before it does it: on which data, from which weights, how far, and what it takes of disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prunebench.cli.console import Console
from prunebench.config import RunConfig
from prunebench.data.dataset import no_downloads
from prunebench.errors import DownloadNeeded
from prunebench.experiment.identity import finished, pruning_run, untrained, why_new
from prunebench.experiment.plan import pruning_plan, training_plan
from prunebench.experiment.resolve import dense_run, resolve
from prunebench.runs.files import check_writable
from prunebench.runs.run import Run


def announce_training(
    console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False
) -> tuple[RunConfig, Run]:
    """Resolve a config, print the plan of its training run, and return both."""
    config = resolve(given)
    run = dense_run(config)
    if fresh and not dry_run:
        start_over(console, run)
    _announce(console, config, run, training_plan(config, run), dry_run)
    if dry_run:
        console.result(_disk(config, []))
    return config, run


def announce_pruning(
    console: Console, given: RunConfig, *, dry_run: bool = False, fresh: bool = False, redo: int | None = None
) -> tuple[RunConfig, Run]:
    """Resolve a config, print the plan of its pruning run, and return both."""
    config = resolve(given)
    run, dense = pruning_run(config), dense_run(config)
    if fresh and not dry_run:
        start_over(console, run)
    if redo is not None and not dry_run:
        run.redo(redo)
    _announce(console, config, run, pruning_plan(config, run, dense), dry_run)
    if dry_run:
        steps = [step for step in range((config.iterations or 0) + 1) if step not in run.steps()]
        console.result(_disk(config, steps))
    return config, run


def start_over(console: Console, run: Run) -> None:
    """Set a run aside, so that it begins anew."""
    if place := run.set_aside():
        console.note(f"starting over; what there was is kept in {place}")


def machine_line(config: RunConfig) -> str:
    """`cpu (AMD EPYC), 2 threads`: where the config computes; sets the number of threads."""
    from prunebench.training import device as machine

    device = machine.use(config)
    where = machine.environment(device, config.seed or 0)
    return f"{device.type} ({where.hardware}), {where.threads} threads"


def _announce(console: Console, config: RunConfig, run: Run, plan: Iterable[str], dry_run: bool) -> None:
    say = console.result if dry_run else console.note
    say("\n".join(plan))
    if dry_run or not finished(run, config):
        say(f"  machine  {machine_line(config)}")
    if not run.steps() and (reason := why_new(run)):
        say(f"  new      {reason}")
    if not dry_run:
        check_writable(str(config.runs_dir))
        check_writable(str(config.results_dir))


def _disk(config: RunConfig, steps: Sequence[int]) -> str:
    """What the checkpoints of the steps, and of the dense models that are to be trained, will take of disk."""
    from prunebench.experiment.untrained import stored_bytes

    try:
        with no_downloads():
            sizes = stored_bytes(config, max(steps, default=0) + 1)
    except DownloadNeeded as reason:
        return f"  disk     can be told once the data is there. {reason}"
    trainings = len(untrained(config))
    total = sum(sizes[step] for step in steps) + trainings * sizes[0]
    amount = f"{total / 1e9:.2f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
    missing = [f"{len(steps)} step(s)"] * bool(steps) + ([], ["the dense run"], ["two dense runs"])[trainings]
    return f"  disk     about {amount}: {' and '.join(missing) or 'nothing is missing'}"
