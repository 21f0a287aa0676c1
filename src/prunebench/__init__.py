"""prunebench: which pruning method for my model, what do I lose, and what do I really gain on my hardware?

    from prunebench import RunConfig, prune

    for record in prune(RunConfig(model="resnet18")):
        print(record.step, record.params, record.test_after.top1)

Names are imported when they are first used, so that `import prunebench` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunebench.config import RunConfig
    from prunebench.data import Dataset, Split
    from prunebench.efficiency.config import EfficiencyConfig
    from prunebench.efficiency.timing import time_run, time_untrained
    from prunebench.errors import PrunebenchError
    from prunebench.loading import load
    from prunebench.loop import prune, reevaluate, train
    from prunebench.records import LatencyRecord, StepRecord, TimingRecord
    from prunebench.resolve import dense_run
    from prunebench.runs import pruning_run
    from prunebench.seeking import seek

_HOMES = {
    "RunConfig": "config",
    "EfficiencyConfig": "efficiency.config",
    "Dataset": "data",
    "Split": "data",
    "PrunebenchError": "errors",
    "LatencyRecord": "records",
    "StepRecord": "records",
    "TimingRecord": "records",
    "load": "loading",
    "prune": "loop",
    "reevaluate": "loop",
    "train": "loop",
    "dense_run": "runs",
    "pruning_run": "runs",
    "seek": "seeking",
    "time_run": "efficiency.timing",
    "time_untrained": "efficiency.timing",
}

__all__ = [
    "Dataset",
    "EfficiencyConfig",
    "LatencyRecord",
    "PrunebenchError",
    "RunConfig",
    "Split",
    "StepRecord",
    "TimingRecord",
    "dense_run",
    "load",
    "prune",
    "pruning_run",
    "reevaluate",
    "seek",
    "time_run",
    "time_untrained",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
