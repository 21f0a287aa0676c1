"""Accuracy: what a model scores on the test data in a backend."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import torch
from torch.nn import functional as F

from prunebench.data.task import Task
from prunebench.experiment.data import make_task
from prunebench.experiment.existing import check_data
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.latency.backends import Loaded
from prunebench.latency.config import EfficiencyConfig
from prunebench.latency.prepare import Scorer, as_logits
from prunebench.models.checkpoint import Checkpoint
from prunebench.records import Scores
from prunebench.runs.run import Run

SAMPLES = 10_000
"""Test samples at most: a fixed stratified subset of more."""

BATCH = 64


def score_of(
    run: Run, experiment: Experiment, efficiency: EfficiencyConfig, original: Checkpoint, device: torch.device
) -> Scorer:
    """What measures the accuracy of a run's models in a backend; data is loaded when it is first called.

    Then it raises RunError where that is not the run's own.
    """
    sizes = {"image_size": efficiency.image_size, "sequence_length": efficiency.sequence_length}
    timed = {name: value for name, value in sizes.items() if value is not None}
    resized = replace(experiment, settings=msgspec.structs.replace(experiment.settings, **timed))
    start = start_of(original)

    @cache
    def task() -> Task:
        check_data(run, experiment)
        return make_task(resized, tokenizer=start.tokenizer, statistics=start.statistics)

    length = original.architecture.inputs.length
    size = max((size for size in efficiency.batch_sizes if size <= BATCH), default=min(efficiency.batch_sizes))

    def score(loaded: Loaded) -> Scores:
        samples, objective = task().targets.some("test", SAMPLES), task().objective
        run, sums = loaded.runner(size), dict.fromkeys(objective.metrics, 0.0)
        for batch, expected in task().batches("test", samples.split(size), device):
            answer = as_logits(run(loaded.place(_padded(batch, size, length))))[: len(expected)]
            for name, counted in objective.count(answer, expected.cpu()).items():
                sums[name] += float(counted)
        return Scores.of(**{name: (total, len(samples)) for name, total in sums.items()})

    return score


def _padded(batch: Any, size: int, length: int) -> Any:
    """A batch filled up with zeros to the size, and sentences to the length, that a backend may be made for."""
    if isinstance(batch, dict):
        return {name: F.pad(part, (0, length - part.shape[1], 0, size - len(part))) for name, part in batch.items()}
    return F.pad(batch, (0, 0) * (batch.ndim - 1) + (0, size - len(batch)))
