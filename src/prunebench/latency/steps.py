"""Which steps are timed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prunebench.config import Settings
from prunebench.errors import RunError
from prunebench.latency.backends import backends
from prunebench.latency.config import EfficiencyConfig
from prunebench.runs.run import Run


def timed_steps(run: Run, efficiency: EfficiencyConfig, had: Collection[int] = ()) -> list[int]:
    """The steps of a run that are to be timed; of those that it `had` timed before, no checkpoint is needed.

    Raises:
        RunError: their checkpoints are not there.
    """
    kept = sorted({*run.checkpoints(), *had})
    if efficiency.steps is not None:
        return _chosen(sorted({0, *kept}), efficiency, f"Run {run.key}")
    if not run.steps()[1:]:
        raise RunError(f"Run {run.key} has no pruned step yet; give its `prune` command again.")
    if not [step for step in kept if step > 0]:
        raise RunError(f"Run {run.key} has kept no checkpoint of a pruned step (--keep), so it cannot be timed.")
    return _chosen([0, *(step for step in kept if step > 0)], efficiency, f"Run {run.key}")


def planned_steps(settings: Settings, efficiency: EfficiencyConfig) -> list[int]:
    """The steps of a schedule that are to be timed.

    Raises:
        RunError: it has no such step.
    """
    return _chosen(list(range(settings.iterations + 1)), efficiency, "The schedule")


def _chosen(available: Sequence[int], efficiency: EfficiencyConfig, what: str) -> list[int]:
    if efficiency.steps is not None:
        if missing := sorted(set(efficiency.steps) - set(available)):
            raise RunError(
                f"{what} has no step {missing[0]} that can be timed; it has: {', '.join(map(str, available))}."
            )
        return sorted(set(efficiency.steps))
    pruned = list(available[1:])
    if backends.get(efficiency.backend).few_steps:
        return sorted({pruned[0], pruned[(len(pruned) - 1) // 2], pruned[-1]})
    return pruned
