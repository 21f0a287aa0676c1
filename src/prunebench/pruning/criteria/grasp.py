"""GraSP: weights stay whose removal would take most of the gradient's flow (Wang et al. 2020, arXiv 2002.07376).

Where a weight goes, ½‖g‖² changes by −w·(H·g) to first order, g and H being gradient and Hessian of the mean loss of
the calibration samples. The paper removes those of the largest −w·(H·g): without them the gradient loses least, or
gains. So score = w·(H·g), and the lowest go. g is that of all parameters, as all are trained afterwards; the published
code takes those of convolutions and linear layers, and divides logits by 200, which is no part of the formula.
The paper prunes untrained weights in one step: `--epochs 0`, then `--finetune-epochs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("grasp", "lowest w·(H·g), whose removal leaves most of the gradient (Wang et al. 2020)")
def grasp(weight: torch.Tensor, hessian_gradient: torch.Tensor) -> torch.Tensor:
    """w·(H·g), whose sum ranks units."""
    return weight * hessian_gradient
