"""Repeated: samples that are in several parts of a dataset, or are there with several labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.data.dataset import Dataset, Split

Digests = Callable[[Sequence[Path]], Mapping[Path, str]]


def repeated(dataset: Dataset, digests: Digests) -> Iterator[str]:
    """What is the same in several places, in words: as scores on what was trained on tell little.

    Args:
        dataset: as it is used.
        digests: gives the SHA-256 of each of some files.
    """
    train = _labels_of(dataset.train, digests)
    if several := sum(count for labels, count in train.values() if len(labels) > 1):
        yield f"{several:,} of {len(dataset.train):,} training samples are there with several labels"
    for name, part in (("test", dataset.test), ("held-out", dataset.validation)):
        if part is None or not len(part):
            continue
        found = _labels_of(part, digests)
        if both := sum(count for key, (_, count) in found.items() if key in train):
            yield f"{both:,} of {len(part):,} {name} samples are training samples too, so scores on them are too good"


def _labels_of(split: Split, digests: Digests) -> dict[Hashable, tuple[set[int], int]]:
    """What a sample is → the labels that it has, and how often it is there."""
    found: dict[Hashable, tuple[set[int], int]] = defaultdict(lambda: (set(), 0))
    for key, label in zip(_keys(split.inputs, digests), split.labels, strict=True):
        labels, count = found[key]
        found[key] = (labels | {int(label)}, count + 1)
    return found


def _keys(inputs: Any, digests: Digests) -> Iterator[Hashable]:
    if hasattr(inputs, "shape"):
        return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in np.asarray(inputs))
    if isinstance(inputs[0], Path):
        known = digests(inputs)
        return (known[path] for path in inputs)
    return iter(inputs)
