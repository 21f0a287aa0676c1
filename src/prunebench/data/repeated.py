"""Repeated: samples that are in several parts of a dataset, or are there with several labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.data.dataset import Dataset

Digests = Callable[[Sequence[Path]], Mapping[Path, str]]


def repeated(dataset: Dataset, digests: Digests) -> Iterator[str]:
    """What is the same in several places, in words: as scores on what was trained on tell little.

    Args:
        dataset: as it is used.
        digests: gives the SHA-256 of each of some files.
    """
    keys, labels = list(_keys(dataset.train.inputs, digests)), np.asarray(dataset.train.labels).tolist()
    first: dict[Hashable, int] = {}
    several = {key for key, label in zip(keys, labels, strict=True) if first.setdefault(key, label) != label}
    if count := sum(key in several for key in keys):
        yield f"{count:,} of {len(keys):,} training samples are there with several labels"
    for name, part in (("test", dataset.test), ("held-out", dataset.validation)):
        if part and (both := sum(key in first for key in _keys(part.inputs, digests))):
            yield f"{both:,} of {len(part):,} {name} samples are training samples too, so scores on them are too good"


def _keys(inputs: Any, digests: Digests) -> Iterator[Hashable]:
    """What each sample is known by."""
    if hasattr(inputs, "shape"):
        return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in np.asarray(inputs))
    if isinstance(inputs[0], Path):
        known = digests(inputs)
        return (known[path] for path in inputs)
    return iter(inputs)
