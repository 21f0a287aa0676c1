"""Make the Task of an experiment: its data, fitted to what the model reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prunebench.config import Settings
from prunebench.data.dataset import Dataset
from prunebench.data.repeated import repeated
from prunebench.data.task import Task
from prunebench.experiment.checks import check_fit, check_weighted
from prunebench.experiment.dataset import used
from prunebench.experiment.experiment import Experiment
from prunebench.runs.digests import digests_of

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from prunebench.models.normalisation import Statistics


def make_task(
    experiment: Experiment,
    *,
    tokenizer: Tokenizer | None = None,
    statistics: Statistics | None = None,
    told: Callable[[Task], Statistics | None] = lambda task: None,
    opened: Callable[[int, int], None] = lambda done, total: None,
) -> Task:
    """The task of an experiment.

    Args:
        experiment: whose data it is.
        tokenizer: for text; where None, one is trained on the training sentences.
        statistics: mean and standard deviation that images are normalised with, unless the settings say so; where
            None, the data's own.
        told: statistics that the model tells, which is made for a task; they come before `statistics`.
        opened: how many image files of how many were checked; they are all opened, once.

    Raises:
        DataError: the data is missing or malformed.
        ConfigError: the model cannot read this kind of data.
    """
    settings = experiment.settings
    dataset = used(experiment.dataset, settings)
    check_fit(experiment, dataset.kind)
    check_weighted(settings, dataset)
    data_dir = Path(settings.data_dir)
    same = repeated(dataset, lambda paths: digests_of(paths, data_dir, settings.runs_dir))
    dataset = replace(dataset, notes=(*dataset.notes, *same))
    if dataset.kind == "text":
        from prunebench.data.text import TextTask, train_tokenizer

        tokenizer = tokenizer or train_tokenizer(dataset.train.inputs)
        return TextTask(dataset, tokenizer, settings.sequence_length, class_weights(dataset, settings))
    from prunebench.data.images import ImageTask

    reading = None
    if dataset.kind == "files":
        from prunebench.data.survey import surveyed

        dataset, reading = surveyed(
            dataset,
            settings.image_size,
            resize=settings.resize,
            background=settings.background,
            white=settings.white,
            data_dir=data_dir,
            runs_dir=settings.runs_dir,
            workers=settings.workers,
            told=opened,
        )

    def normalised(statistics: Statistics | None) -> ImageTask:
        return ImageTask(
            dataset,
            settings.image_size,
            statistics=statistics,
            channels_last=settings.memory_format == "channels_last",
            workers=settings.workers,
            cache=settings.cache,
            reading=reading,
            class_weights=class_weights(dataset, settings),
        )

    if settings.mean is not None and settings.std is not None:
        return normalised((settings.mean, settings.std))
    task = normalised(statistics)
    return normalised(found) if (found := told(task)) else task


def class_weights(dataset: Dataset, settings: Settings) -> torch.Tensor | None:
    """The weight of each class in the loss, float32 of shape (classes,), by what is trained on; None of equal ones."""
    import torch

    from prunebench.data.classification import balanced

    if settings.class_weights == "none":
        return None
    return balanced(torch.as_tensor(dataset.train.labels), len(dataset.classes))
