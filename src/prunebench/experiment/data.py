"""Make the Task of a resolved config: load the data, take subsets, fit it to what the model reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.config import RunConfig
from prunebench.data.dataset import Dataset, checked, datasets, hold_out, stratified, subset
from prunebench.data.task import Task
from prunebench.experiment.resolve import check_fit
from prunebench.registry import call

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from prunebench.data.images import Statistics


def make_task(config: RunConfig, *, tokenizer: Tokenizer | None = None, statistics: Statistics | None = None) -> Task:
    """The task of a resolved config.

    Args:
        config: resolved.
        tokenizer: for text; where None, one is trained on the training sentences.
        statistics: mean and standard deviation that images are normalised with; where None, the data's own.

    Raises:
        DataError: the data is missing or malformed.
        ConfigError: the model cannot read this kind of data.
    """
    dataset = load_dataset(config)
    check_fit(config, dataset.kind)
    if dataset.kind == "text":
        from prunebench.data.text import TextTask, train_tokenizer

        return TextTask(dataset, tokenizer or train_tokenizer(dataset.train.inputs), _known(config.sequence_length))
    from prunebench.data.images import ImageTask

    return ImageTask(
        dataset,
        _known(config.image_size),
        statistics=statistics,
        channels_last=config.memory_format == "channels_last",
        workers=_known(config.workers),
    )


def load_dataset(config: RunConfig) -> Dataset:
    """Load and check the dataset of a resolved config, take subsets, and hold out validation data, as it asks for."""
    offered = {"data_dir": Path(_known(config.data_dir)), "seed": config.seed}
    dataset = checked(call(datasets.get(config.dataset).load, offered), str(config.dataset))
    for part, limit in (("train", config.limit_train), ("test", config.limit_test)):
        if limit is not None:
            split = getattr(dataset, part)
            smaller: dict[str, Any] = {part: subset(split, stratified(split.labels, limit))}
            dataset = replace(dataset, **smaller)
    return hold_out(dataset, config.validation, config.seed or 0) if config.validation else dataset


def _known(value: Any) -> Any:
    """A field of a resolved config, which is never None."""
    assert value is not None, "the config must be resolved"
    return value
