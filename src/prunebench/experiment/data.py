"""Make the Task of an experiment: load the data, take subsets, fit it to what the model reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.data.dataset import Dataset, checked, hold_out, stratified, subset
from prunebench.data.task import Task
from prunebench.experiment.resolve import Experiment, check_fit
from prunebench.registry import call

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from prunebench.models.normalisation import Statistics


def make_task(
    experiment: Experiment,
    *,
    tokenizer: Tokenizer | None = None,
    statistics: Statistics | None = None,
    told: Callable[[Task], Statistics | None] = lambda task: None,
) -> Task:
    """The task of an experiment.

    Args:
        experiment: whose data it is.
        tokenizer: for text; where None, one is trained on the training sentences.
        statistics: mean and standard deviation that images are normalised with, unless the settings say so; where
            None, the data's own.
        told: statistics that the model tells, which is made for a task; they come before `statistics`.

    Raises:
        DataError: the data is missing or malformed.
        ConfigError: the model cannot read this kind of data.
    """
    dataset, settings = load_dataset(experiment), experiment.settings
    check_fit(experiment, dataset.kind)
    if dataset.kind == "text":
        from prunebench.data.text import TextTask, train_tokenizer

        return TextTask(dataset, tokenizer or train_tokenizer(dataset.train.inputs), settings.sequence_length)
    from prunebench.data.images import ImageTask

    def normalised(statistics: Statistics | None) -> ImageTask:
        return ImageTask(
            dataset,
            settings.image_size,
            statistics=statistics,
            channels_last=settings.memory_format == "channels_last",
            workers=settings.workers,
        )

    if settings.mean is not None and settings.std is not None:
        return normalised((settings.mean, settings.std))
    task = normalised(statistics)
    return normalised(found) if (found := told(task)) else task


def load_dataset(experiment: Experiment) -> Dataset:
    """Load and check the dataset of an experiment, take subsets, and hold out validation data, as it asks for."""
    settings = experiment.settings
    offered = {"data_dir": Path(settings.data_dir), "seed": settings.seed}
    dataset = checked(call(experiment.data.load, offered), str(settings.dataset))
    for part, limit in (("train", settings.limit_train), ("test", settings.limit_test)):
        if limit is not None:
            split = getattr(dataset, part)
            smaller: dict[str, Any] = {part: subset(split, stratified(split.labels, limit))}
            dataset = replace(dataset, **smaller)
    return hold_out(dataset, settings.validation, settings.seed) if settings.validation else dataset
