"""Optimal brain damage: by what the loss changes, to second order, at a minimum (LeCun et al. 1989).

score = ½·h·w², where h is the weight's element of the diagonal of the Hessian of the mean loss of the calibration
samples: the true one, estimated by products with vectors of random signs (`evidence/curvature`), and not the empirical
Fisher information, which `fisher` takes for it: mean squares of gradients, near it only where the model's probabilities
are those of the data, and never negative. Where h is, removing the weight lowers the loss to second order, and it goes
first. The paper has h by backpropagation that leaves terms out, and takes the first order for zero, as do we.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion(
    "obd",
    "smallest ½·h·w², h of the Hessian's diagonal by 4 random probes of every 32 samples (LeCun et al. 1989)",
    ("hessian",),
)
def obd(weight: torch.Tensor, hessian_diagonal: torch.Tensor) -> torch.Tensor:
    """½·h·w², whose sum ranks units."""
    return 0.5 * hessian_diagonal * weight.square()
