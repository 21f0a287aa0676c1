"""Accuracy: what a model scores on the test data in a backend, and how often it answers as another one does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from prunebench.latency.prepare import Scored, Scorer, as_logits
from prunebench.models.checkpoint import Checkpoint
from prunebench.records import Score, Scores
from prunebench.runs.run import Run

SAMPLES = 10_000
"""Test samples at most: a fixed stratified subset of more."""

BATCH = 64

CALIBRATED = 16
"""Samples in a batch of those that ranges of activations are found on: the quantiser keeps all activations of one."""


def task_of(run: Run, experiment: Experiment, efficiency: EfficiencyConfig, original: Checkpoint) -> Callable[[], Task]:
    """What loads a run's data, with inputs of the size that is timed, when it is first called.

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

    return task


def score_of(
    task: Callable[[], Task], efficiency: EfficiencyConfig, original: Checkpoint, device: torch.device
) -> Scorer:
    """What scores models in a backend on the test data, in one pass over it."""
    length = original.architecture.inputs.length
    size = max((size for size in efficiency.batch_sizes if size <= BATCH), default=min(efficiency.batch_sizes))

    def score(*models: Loaded) -> list[Scored]:
        samples, objective = task().targets.some("test", SAMPLES), task().objective
        runners = [loaded.runner(size) for loaded in models]
        sums, same = [dict.fromkeys(objective.metrics, 0.0) for _ in models], [0] * len(models)
        for batch, expected in task().batches("test", samples.split(size), device):
            padded = _padded(batch, size, length)
            answers = [
                as_logits(run(loaded.place(padded)))[: len(expected)]
                for run, loaded in zip(runners, models, strict=True)
            ]
            for i, answer in enumerate(answers):
                same[i] += int(objective.agrees(answer, answers[0]).sum())
                for name, counted in objective.count(answer, expected.cpu()).items():
                    sums[i][name] += float(counted)
        return [
            Scored(Scores.of(**{name: (total, len(samples)) for name, total in of.items()}), Score(alike, len(samples)))
            for of, alike in zip(sums, same, strict=True)
        ]

    return score


def calibration_of(task: Callable[[], Task], count: int, device: torch.device) -> Sequence[Any]:
    """Inputs of so many training samples, a fixed subset in which each class keeps its share, in batches."""
    samples = task().targets.some("train", count)
    return [batch for batch, _ in task().batches("train", samples.split(CALIBRATED), device)]


def _padded(batch: Any, size: int, length: int) -> Any:
    """A batch filled up with zeros to the size, and sentences to the length, that a backend may be made for."""
    if isinstance(batch, dict):
        return {name: F.pad(part, (0, length - part.shape[1], 0, size - len(part))) for name, part in batch.items()}
    return F.pad(batch, (0, 0) * (batch.ndim - 1) + (0, size - len(batch)))
