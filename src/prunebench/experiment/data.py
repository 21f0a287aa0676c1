"""Make the Task of an experiment: load the data, take subsets, fit it to what the model reads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.data.balance import class_notes
from prunebench.data.dataset import Dataset, checked, hold_out, stratified, subset
from prunebench.data.task import Task
from prunebench.experiment.resolve import Experiment, check_fit
from prunebench.registry import call

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from prunebench.data.images import Statistics

log = logging.getLogger(__name__)


def make_task(
    experiment: Experiment,
    *,
    tokenizer: Tokenizer | None = None,
    statistics: Statistics | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Task:
    """The task of an experiment.

    Args:
        experiment: whose data it is.
        tokenizer: for text; where None, one is trained on the training sentences.
        statistics: mean and standard deviation that images are normalised with; where None, the data's own.
        told: how many image files of how many were checked; they are all opened, once.

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

    reading = None
    if dataset.kind == "files":
        from prunebench.data.survey import surveyed

        before = len(dataset.notes)
        dataset, reading = surveyed(
            dataset,
            settings.image_size,
            resize=settings.resize,
            background=settings.background,
            white=settings.white,
            data_dir=Path(settings.data_dir),
            runs_dir=settings.runs_dir,
            workers=settings.workers,
            told=told,
        )
        _log(dataset.notes[before:])
    return ImageTask(
        dataset,
        settings.image_size,
        statistics=statistics,
        channels_last=settings.memory_format == "channels_last",
        workers=settings.workers,
        reading=reading,
    )


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
    if settings.validation:
        dataset = hold_out(dataset, settings.validation, settings.seed)
    notes = tuple(class_notes(dataset))
    _log(notes)
    return replace(dataset, notes=(*dataset.notes, *notes))


def _log(notes: Iterable[str]) -> None:
    for note in notes:
        log.info("%s", note)
