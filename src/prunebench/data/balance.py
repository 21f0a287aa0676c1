"""Balance: what is said of the classes of a dataset, since accuracy means little without it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

import numpy as np

from prunebench.data.dataset import Dataset
from prunebench.runs.digests import listed

UNEVEN = 1.5
"""Times that the largest class is larger than the smallest, from which on classes are said to be imbalanced."""


def class_notes(dataset: Dataset) -> Iterator[str]:
    """Which parts have no sample of a class, and how imbalanced they are."""
    for part, split in dataset.splits.items():
        counts = np.bincount(np.asarray(split.labels, dtype=np.int64), minlength=len(dataset.classes))
        if not counts.any():
            continue
        names = [str(name) for name in dataset.classes]
        if lacking := list(compress(names, counts == 0)):
            yield f"{part} data has no sample of {len(lacking):,} of {len(names):,} classes: {listed(lacking)}."
        most, least = int(counts.max()), int(counts[counts > 0].min())
        if most > UNEVEN * least:
            largest, smallest = names[int(counts.argmax())], names[counts.tolist().index(least)]
            yield (
                f"{part} data is imbalanced: {most:,} samples of {largest}, {least:,} of {smallest}. All weigh alike; "
                f"always answering {largest} is right for {most / counts.sum():.1%}."
            )
