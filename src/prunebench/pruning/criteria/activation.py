"""Activation: units that are hardly active matter least (as in Minitron, Muralidharan et al. 2024, arXiv 2407.14679).

score = mean |a| of a unit, over the calibration samples and positions, as the layers read it that read the unit: behind
its norm and non-linearity. Where several layers read it, the mean over these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def activation(activations: torch.Tensor) -> torch.Tensor:
    """Mean |a| of each unit, of activations (units, readers)."""
    return activations.mean(1)


criteria.add(
    "activation",
    Criterion("activation", "of units: smallest mean |a| (Muralidharan et al. 2024)", unit=activation),
)
