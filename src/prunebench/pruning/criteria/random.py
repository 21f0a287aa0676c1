"""Random: the control that every criterion has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("random", "any, with equal probability, by the seed")
def random(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Uniform on [0, 1), drawn on the CPU so that every device removes the same weights."""
    import torch

    return torch.rand(weight.shape, generator=generator)
