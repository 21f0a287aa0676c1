"""Time a pruning run from its checkpoints, or, where there is none, the untrained architecture."""

from __future__ import annotations

from collections.abc import Iterator

from prunebench import checkpoint, machine
from prunebench.config import RunConfig
from prunebench.efficiency.config import EfficiencyConfig
from prunebench.efficiency.latency import measure
from prunebench.errors import RunError
from prunebench.records import LatencyRecord
from prunebench.registry import reference
from prunebench.resolve import resolve
from prunebench.store import Run
from prunebench.untrained import untrained


def time_run(
    run: Run, config: RunConfig, efficiency: EfficiencyConfig, *, deadline: float | None = None
) -> Iterator[list[LatencyRecord]]:
    """Time every finished step of a pruning run; yields the records of one step at a time.

    Args:
        run: a pruning run.
        config: its config; device and threads may differ from those it was computed with.
        efficiency: batch sizes and time budget.
        deadline: `time.perf_counter()` at which the budget ends.

    Raises:
        RunError: the run has no pruned step, or one cannot be read.
    """
    config = resolve(config)
    device = machine.use(config)
    steps = [step for step in run.steps() if step > 0]
    if not steps:
        raise RunError(f"Run {run.info.key} has no pruned step yet; give its `prune` command again.")
    yield from measure(
        checkpoint.load(run.step_folder(0), config.model),
        ((step, run.record(step).nominal_left, checkpoint.load(run.step_folder(step), config.model)) for step in steps),
        efficiency,
        about=_about(config, run.info.key),
        steps=len(steps),
        device=device,
        dtype=str(config.dtype),
        channels_last=config.memory_format == "channels_last",
        deadline=deadline,
    )


def time_untrained(
    config: RunConfig, efficiency: EfficiencyConfig, *, deadline: float | None = None
) -> Iterator[list[LatencyRecord]]:
    """Time the architecture with untrained weights, pruned by the schedule of the config, as `time_run` does.

    Latency does not depend on the values of the weights.
    """
    config = resolve(config)
    device = machine.use(config)
    states = untrained(config)
    _, _, original = next(states)
    yield from measure(
        original,
        states,
        efficiency,
        about=_about(config, None),
        steps=config.iterations or 0,
        device=device,
        dtype=str(config.dtype),
        channels_last=config.memory_format == "channels_last",
        deadline=deadline,
    )


def _about(config: RunConfig, run: str | None) -> dict[str, object]:
    return {"run": run, "model": reference(config.model), "method": config.method}
