"""Magnitude: what is small matters least (Han et al. 2015; for filters Li et al. 2017)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("l1", "smallest absolute value; of a group, smallest sum of absolute values", ("magnitude",))
def l1(weight: torch.Tensor) -> torch.Tensor:
    """|w|."""
    return weight.abs()


@register_criterion("l2", "smallest square; of a group, smallest Euclidean norm")
def l2(weight: torch.Tensor) -> torch.Tensor:
    """w², whose sum over a group ranks groups as their Euclidean norms do."""
    return weight.square()
