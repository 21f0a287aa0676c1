"""Activation variance: units that are as active on every sample tell samples apart least (Polyak and Wolf 2015, whose
channels of least variance contribute least).

score = variance of a unit's a, over the calibration samples and positions, as the layers read it that read the unit:
behind its norm and non-linearity. Where several layers read it, or several columns of one, as of heads and where
positions are flattened, the mean over these. What such a unit adds to the next layer is nearly a constant, as a bias
is; it goes with the unit, and fine-tuning makes up for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def activation_variance(activation_variances: torch.Tensor) -> torch.Tensor:
    """Var(a) of each unit, of (units, readers)."""
    return activation_variances.mean(1)


criteria.add(
    "activation-variance",
    Criterion(
        "activation-variance",
        "of units: smallest variance of a over samples and positions (Polyak and Wolf 2015)",
        unit=activation_variance,
    ),
)
