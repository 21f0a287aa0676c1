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
    from prunebench.data.dataset import Dataset, Split
    from prunebench.errors import PrunebenchError
    from prunebench.experiment.loop import prune, reevaluate, train
    from prunebench.experiment.resolve import dense_run, pruning_run
    from prunebench.latency.config import EfficiencyConfig
    from prunebench.latency.timing import time_run, time_untrained
    from prunebench.models.loading import load
    from prunebench.notebooks.runs import Runs
    from prunebench.records import LatencyRecord, StepRecord, TimingRecord
    from prunebench.studies.search import seek

_HOMES = {
    "RunConfig": "config",
    "EfficiencyConfig": "latency.config",
    "Dataset": "data.dataset",
    "Split": "data.dataset",
    "PrunebenchError": "errors",
    "Runs": "notebooks.runs",
    "LatencyRecord": "records",
    "StepRecord": "records",
    "TimingRecord": "records",
    "load": "models.loading",
    "prune": "experiment.loop",
    "reevaluate": "experiment.loop",
    "train": "experiment.loop",
    "dense_run": "experiment.resolve",
    "pruning_run": "experiment.resolve",
    "seek": "studies.search",
    "time_run": "latency.timing",
    "time_untrained": "latency.timing",
}

__all__ = [
    "Dataset",
    "EfficiencyConfig",
    "LatencyRecord",
    "PrunebenchError",
    "RunConfig",
    "Runs",
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
