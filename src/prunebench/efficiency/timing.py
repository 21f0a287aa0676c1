"""Time a pruning run from its checkpoints, or, where there is none, the untrained architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from prunebench import checkpoint, machine
from prunebench.catalogue import find
from prunebench.config import RunConfig
from prunebench.efficiency.config import EfficiencyConfig
from prunebench.efficiency.latency import Pruned, measure
from prunebench.errors import RunError
from prunebench.records import LatencyRecord, TimingRecord
from prunebench.registry import reference
from prunebench.resolve import resolve
from prunebench.store import Run
from prunebench.training import Stop
from prunebench.untrained import untrained


def time_run(
    run: Run,
    config: RunConfig,
    efficiency: EfficiencyConfig,
    *,
    into: Run | None = None,
    deadline: float | None = None,
    stop: Stop | None = None,
) -> Iterator[list[LatencyRecord]]:
    """Time every pruned step of a run whose checkpoint is kept; yields the records of one step at a time.

    Args:
        run: a pruning run.
        config: its config; device and threads may differ from those it was computed with.
        efficiency: batch sizes and time budget.
        into: an efficiency run that keeps the records; steps that it has are not timed again.
        deadline: `time.perf_counter()` at which the budget ends.
        stop: asked after every batch size whether to stop.

    Raises:
        RunError: the run has no pruned step, or one cannot be read.
        Stopped: `stop` asked for it.
    """
    config = resolve(config)
    steps = timed_steps(run)

    def states(missing: Sequence[int]) -> Iterator[Pruned]:
        yield 0, 1.0, checkpoint.load(_original(run), config.model)
        for step in missing:
            yield step, run.record(step).nominal_left, checkpoint.load(run.checkpoint(step), config.model)

    yield from _time(config, efficiency, states, key=run.info.key, steps=steps, into=into, deadline=deadline, stop=stop)


def time_untrained(
    config: RunConfig,
    efficiency: EfficiencyConfig,
    *,
    into: Run | None = None,
    deadline: float | None = None,
    stop: Stop | None = None,
) -> Iterator[list[LatencyRecord]]:
    """Time the architecture with untrained weights, pruned by the schedule of the config, as `time_run` does.

    Latency does not depend on the values of the weights.
    """
    config = resolve(config)

    def states(missing: Sequence[int]) -> Iterator[Pruned]:
        return (state for state in untrained(config) if state[0] in (0, *missing))

    steps = list(range(1, (config.iterations or 0) + 1))
    yield from _time(config, efficiency, states, key=None, steps=steps, into=into, deadline=deadline, stop=stop)


def timed_steps(run: Run) -> list[int]:
    """The pruned steps of a run that can be timed: their checkpoint is kept.

    Raises:
        RunError: there is none.
    """
    steps = [step for step in run.checkpoints() if step > 0]
    if steps:
        return steps
    if run.steps()[1:]:
        raise RunError(f"Run {run.info.key} has kept no checkpoint of a pruned step (--keep), so it cannot be timed.")
    raise RunError(f"Run {run.info.key} has no pruned step yet; give its `prune` command again.")


def _time(
    config: RunConfig,
    efficiency: EfficiencyConfig,
    states: Callable[[Sequence[int]], Iterator[Pruned]],
    *,
    key: str | None,
    steps: Sequence[int],
    into: Run | None,
    deadline: float | None,
    stop: Stop | None,
) -> Iterator[list[LatencyRecord]]:
    device = machine.use(config)
    done = [] if into is None else [step for step in steps if step in into.steps()]
    missing = [step for step in steps if step not in done]
    if into is not None:
        yield from (list(into.timing(step).latencies) for step in done)
    if not missing:
        return
    with into.working(machine.environment(device, config.seed or 0)) if into is not None else nullcontext():
        pruned = states(missing)
        _, _, original = next(pruned)
        for records in measure(
            original,
            pruned,
            efficiency,
            about={"run": key, "model": reference(config.model), "method": config.method},
            steps=len(missing),
            device=device,
            dtype=str(config.dtype),
            channels_last=config.memory_format == "channels_last",
            deadline=deadline,
            stop=stop,
        ):
            if into is not None:
                into.commit(TimingRecord(step=records[0].step, latencies=tuple(records)), lambda folder: None)
            yield records


def _original(run: Run) -> Path:
    """The checkpoint of the unpruned model: the run's own, or that of the dense run where it was not kept."""
    if 0 not in run.checkpoints() and run.info.source is not None:
        dense = find(run.root, run.info.source)
        return dense.checkpoint(0)
    return run.checkpoint(0)
