"""Own transform: an augmentation of the user's, which a Dataset carries; of training batches alone.

It is a function of a batch, which returns the batch: of images uint8 of shape (batch, C, size, size), C being 1 or 3,
resized and not normalised yet, to uint8, or to floats from 0 to 1, of the same shape; of sentences a mapping of
`input_ids` and `attention_mask`, int64 of shape (batch, longest), to the same. It may draw from torch's global
generator, from `numpy.random` and from `random`, which are seeded by the place of the batch in the run, so that a run
that goes on draws the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from prunebench.data.own_code import called
from prunebench.errors import DataError, PrunebenchError
from prunebench.user_code import failure

TRIES = 8
"""Seeds with which it is tried before anything is trained."""


class OwnTransform:
    """An augmentation of the user's.

    Args:
        function: a training batch → the same, augmented.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.name = called(function)
        self._function = function

    def __call__(self, batch: Any) -> Any:
        """The batch, augmented; `batch` itself may be changed.

        Raises:
            DataError: the function fails, or returns something else.
        """
        with _seeded():
            try:
                found = self._function(batch)
            except PrunebenchError:
                raise
            except Exception as error:
                raise DataError(f"The transform {self.name} failed: {failure(error)}. --debug shows more.") from error
        if problem := _problem(batch, found):
            raise DataError(f"The transform {self.name} {problem}.")
        return found

    def check(self, batch: Any) -> None:
        """Raise DataError where it returns what no model could be trained on, or another result for the same seed."""
        for seed in range(TRIES):
            first, again = (self._tried(batch, seed) for _ in range(2))
            if not _same(first, again):
                raise DataError(
                    f"The transform {self.name} gives another result for the same seed, so no run could go on: draw "
                    f"from torch, numpy.random or random, and keep nothing from call to call."
                )
            if isinstance(first, torch.Tensor) and first.is_floating_point():
                low, high = float(first.min()), float(first.max())
                if not (low >= -1 and high <= 2):  # which a NaN is not; some augmentations go a little beyond
                    raise DataError(
                        f"The transform {self.name} returned floats from {low:g} to {high:g}: images are uint8 from 0 "
                        f"to 255, or floats from 0 to 1."
                    )

    def treats_alike(self, images: torch.Tensor) -> bool:
        """Whether it changes images and never tells them apart: whether it draws once for all of a batch."""
        one = images[:1].expand_as(images).contiguous()
        found = [self._tried(one, seed) for seed in range(TRIES)]
        changed = any(of.dtype != one.dtype or not torch.equal(of, one) for of in found)
        return changed and all(torch.equal(of, of[:1].expand_as(of)) for of in found)

    def _tried(self, batch: Any, seed: int) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return self(_copy(batch))


@contextmanager
def _seeded() -> Iterator[None]:
    """Within it Python's and NumPy's global generators are seeded from torch's; then they are as they were."""
    seed = int(torch.randint(0, 2**32, ()))
    before, of_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(of_numpy)


def _problem(given: Any, found: Any) -> str:
    """What is wrong with what a transform made of a batch; empty where nothing is."""
    if isinstance(given, Mapping):
        if not isinstance(found, Mapping) or set(found) != set(given):
            return f"is to return a mapping of {' and '.join(given)}"
        wrong = [name for name, of in given.items() if not _is_like(of, found[name])]
        return f"is to leave {wrong[0]} an int64 tensor of its shape" if wrong else ""
    if not isinstance(found, torch.Tensor):
        return f"returned {type(found).__name__}: return the tensor of images"
    if found.shape != given.shape:
        was, now = ("×".join(map(str, of.shape)) for of in (given, found))
        return f"made {now} of images of {was}: keep the shape"
    if found.dtype != torch.uint8 and not found.is_floating_point():
        return f"returned {found.dtype}: images are uint8 from 0 to 255, or floats from 0 to 1"
    return ""


def _is_like(given: torch.Tensor, found: Any) -> bool:
    return isinstance(found, torch.Tensor) and found.shape == given.shape and found.dtype == given.dtype


def _copy(batch: Any) -> Any:
    return {name: of.clone() for name, of in batch.items()} if isinstance(batch, Mapping) else batch.clone()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return all(torch.equal(one[name], other[name]) for name in one)
    return torch.equal(one, other)
