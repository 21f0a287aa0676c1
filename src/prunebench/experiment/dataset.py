"""The dataset of an experiment as its loader returns it, whole; and the part of it that an experiment uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from prunebench.config import Settings, default
from prunebench.data.checking import checked
from prunebench.data.dataset import READING, Dataset, DatasetEntry, hold_out, stratified, subset
from prunebench.registry import call


def load(entry: DatasetEntry, settings: Settings) -> Dataset:
    """Load and check a dataset.

    Raises:
        DataError: it is missing or malformed.
    """
    given = {name: value for name in READING if (value := getattr(settings, name)) != default(name)}
    offered = {"data_dir": Path(settings.data_dir), "seed": settings.seed}
    return checked(call(entry.load, offered, given), str(settings.dataset))


def used(dataset: Dataset, settings: Settings) -> Dataset:
    """The subsets that the settings ask for, with validation data held out.

    Raises:
        ConfigError: too little is left to train on, or to hold out.
    """
    for part, limit in (("train", settings.limit_train), ("test", settings.limit_test)):
        if limit is not None:
            split = getattr(dataset, part)
            smaller: dict[str, Any] = {part: subset(split, stratified(split.labels, limit))}
            dataset = replace(dataset, **smaller)
    return hold_out(dataset, settings.validation, settings.seed) if settings.validation else dataset
