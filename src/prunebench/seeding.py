"""Randomness as a function of position.

A generator is seeded from (seed, phase, step, epoch, batch) where it is used, so a run that is continued draws
the same numbers as one that never stopped, and no generator state is ever stored.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(seed: int, phase: str, *position: int) -> int:
    """A 63-bit seed for one position; positions of one length have independent streams (NumPy's SeedSequence)."""
    words = [seed, zlib.crc32(phase.encode()), *position]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def seed_all(seed: int, phase: str, *position: int) -> None:
    """Seed torch's global generators, those of every device, for one position."""
    import torch

    found = seed_of(seed, phase, *position)
    if torch.accelerator.is_available():
        torch.manual_seed(found)
    else:  # the same; for GPUs that are not there PyTorch would write down the stack three times: 0.4 ms a batch
        torch.default_generator.manual_seed(found)


def generator(seed: int, phase: str, *position: int) -> torch.Generator:
    """A CPU generator of its own for one position."""
    import torch

    return torch.Generator().manual_seed(seed_of(seed, phase, *position))


def order(count: int, seed: int, phase: str, *position: int) -> torch.Tensor:
    """The order of `count` samples in one epoch: a permutation, int64 of shape (count,)."""
    import torch

    return torch.randperm(count, generator=generator(seed, phase, *position))
