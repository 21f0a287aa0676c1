"""APoZ: units that are zero most of the time matter least (Hu et al. 2016, arXiv 1607.03250).

The average percentage of zeros is the share of a unit's activations that are exactly zero, over the calibration samples
and positions, as the layers read it that read the unit; the mean over these where there are several. The most zeros go
first: score = 1 − APoZ. It takes a non-linearity that gives zeros, as ReLU does; behind GELU, and behind a mean over
positions, nothing is exactly zero, so all units score 1, which is refused where it is so of every group, else noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def apoz(activation_zeros: torch.Tensor) -> torch.Tensor:
    """1 − the share of zeros of each unit, of (units, readers)."""
    return 1 - activation_zeros.mean(1)


criteria.add(
    "apoz",
    Criterion("apoz", "of units: largest share of activations that are zero (Hu et al. 2016)", unit=apoz),
)
