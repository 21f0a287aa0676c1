"""Say what a run will do before it does it: on which data, from which weights, how far, and what it takes of disk."""

from __future__ import annotations

from collections.abc import Iterable

from prunebench.cli.console import Console
from prunebench.config import RunConfig
from prunebench.plan import pruning_plan, training_plan
from prunebench.resolve import resolve
from prunebench.runs import dense_run, pruning_run, why_new
from prunebench.store import Run


def announce_training(console: Console, given: RunConfig, dry_run: bool) -> tuple[RunConfig, Run]:
    """Resolve a config, print the plan of its training run, and return both."""
    config = resolve(given)
    run = dense_run(config)
    _announce(console, config, run, training_plan(config, run), dry_run=dry_run, steps=1)
    return config, run


def announce_pruning(console: Console, given: RunConfig, dry_run: bool) -> tuple[RunConfig, Run]:
    """Resolve a config, print the plan of its pruning run, and return both."""
    config = resolve(given)
    run, dense = pruning_run(config), dense_run(config)
    _announce(
        console, config, run, pruning_plan(config, run, dense), dry_run=dry_run, steps=(config.iterations or 0) + 1
    )
    return config, run


def _announce(console: Console, config: RunConfig, run: Run, plan: Iterable[str], *, dry_run: bool, steps: int) -> None:
    from prunebench import machine

    say = console.result if dry_run else console.note
    device = machine.use(config)
    where = machine.environment(device, config.seed or 0)
    say("\n".join([*plan, f"  machine  {device.type} ({where.hardware}), {where.threads} threads"]))
    if not run.steps() and (reason := why_new(run)):
        console.note(f"  new      {reason}")
    if dry_run:
        from prunebench.untrained import stored_bytes

        sizes = stored_bytes(config, steps)
        console.result(
            f"  disk     about {_megabytes(sum(sizes))} for {steps} step(s), the first {_megabytes(sizes[0])}"
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
