"""Batch norm's scale: a channel that is multiplied with little matters little (Liu et al. 2017, arXiv 1708.06519).

score = Σ|γ| over the batch norms that scale a unit; one as a rule. Network slimming trains with an L1 penalty on γ
first, which is not done here. Where no batch norm scales what a layer makes, that is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def bn_scale(scales: torch.Tensor) -> torch.Tensor:
    """Σ|γ| of each unit, of scales (units, norms)."""
    return scales.abs().sum(1)


criteria.add(
    "bn-scale",
    Criterion("bn-scale", "of units: smallest scale of its batch norm, |γ| (Liu et al. 2017)", unit=bn_scale),
    aliases=("slim", "network-slimming"),
)
