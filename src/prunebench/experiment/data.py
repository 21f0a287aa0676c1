"""Make the Task of an experiment: its data, fitted to what the model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.data.task import Task
from prunebench.experiment.dataset import used
from prunebench.experiment.resolve import Experiment, check_fit

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from prunebench.data.images import Statistics


def make_task(
    experiment: Experiment, *, tokenizer: Tokenizer | None = None, statistics: Statistics | None = None
) -> Task:
    """The task of an experiment.

    Args:
        experiment: whose data it is.
        tokenizer: for text; where None, one is trained on the training sentences.
        statistics: mean and standard deviation that images are normalised with; where None, the data's own.

    Raises:
        DataError: the data is missing or malformed.
        ConfigError: the model cannot read this kind of data.
    """
    settings = experiment.settings
    dataset = used(experiment.dataset, settings)
    check_fit(experiment, dataset.kind)
    if dataset.kind == "text":
        from prunebench.data.text import TextTask, train_tokenizer

        return TextTask(dataset, tokenizer or train_tokenizer(dataset.train.inputs), settings.sequence_length)
    from prunebench.data.images import ImageTask

    return ImageTask(
        dataset,
        settings.image_size,
        statistics=statistics,
        channels_last=settings.memory_format == "channels_last",
        workers=settings.workers,
    )
