"""Fisher: the loss's change to second order, with the empirical Fisher information as the Hessian's diagonal (Theis et
al. 2018, arXiv 1801.05787; LeCun et al. 1989).

score = w²·E[g²], where g is the gradient of one sample's loss: squared sample by sample, and then averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("fisher", "smallest w²·E[g²], g of each sample by itself (Theis et al. 2018)")
def fisher(weight: torch.Tensor, squared_gradient: torch.Tensor) -> torch.Tensor:
    """w²·E[g²], whose sum ranks units."""
    return weight.square() * squared_gradient
