"""SNIP: how much the loss depends on whether a weight is there (Lee et al. 2019, arXiv 1810.02340).

score = |w·g|, the gradient by a mask of ones; the paper divides by the sum over the model, which changes no ranking.
The paper prunes untrained weights in one step: `--epochs 0`, then `--finetune-epochs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("snip", "least that the loss depends on whether it is there, |w·g| (Lee et al. 2019)")
def snip(weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """|w·g|, whose sum ranks units."""
    return (weight * gradient).abs()
