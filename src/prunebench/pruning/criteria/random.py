"""Random: the control that every criterion has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def random(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Uniform on [0, 1), drawn on the CPU so that every device removes the same weights."""
    import torch

    return torch.rand(weight.shape, generator=generator)


def random_block(generator: torch.Generator) -> float:
    """Uniform on [0, 1): a block is as likely to go as any other, however large it is."""
    import torch

    return float(torch.rand((), generator=generator))


criteria.add("random", Criterion("random", "any, with equal probability, by the seed", random, random_block))
