"""Wanda: weights by their size and by what they are multiplied with, against those of the same output (Sun et al. 2024,
arXiv 2306.11695).

|w|·‖x‖₂, where x is all that the weight is multiplied with over the calibration samples; of a convolution, what its
place of the kernel reads. Weights compete within their output row alone: the score is the share of the row's weights
that are smaller, so of every row, and every layer, the same share goes, whatever is ranked together. Layers are
calibrated on the model as it is, and not one after the other as the paper does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def wanda(weight: torch.Tensor, input_norm: torch.Tensor, output_row: torch.Tensor) -> torch.Tensor:
    """The rank of |w|·‖x‖₂ within the output row, as a share of the row, of the weight's shape; of equals the first is
    lower."""
    import torch

    products, (_, row) = (weight.abs() * input_norm).flatten(), output_row.unique(return_inverse=True)
    order = products.argsort(stable=True)
    order = order[row.flatten()[order].argsort(stable=True)]
    sizes = row.flatten().bincount()
    starts = sizes.cumsum(0) - sizes
    sorted_row = row.flatten()[order]
    ranks = torch.arange(len(order), device=order.device) - starts[sorted_row]
    shares = (ranks + 0.5) / sizes[sorted_row]
    return torch.empty_like(shares).index_copy_(0, order, shares).view(weight.shape)


def wanda_of_units(weights: torch.Tensor, input_norms: torch.Tensor) -> torch.Tensor:
    """Σ|w|·‖x‖₂ of each unit, of (units, values)."""
    return (weights.abs() * input_norms).sum(1)


criteria.add(
    "wanda",
    Criterion(
        "wanda",
        "smallest |w|·‖x‖₂, of single weights within each output row (Sun et al. 2024)",
        wanda,
        unit=wanda_of_units,
    ),
)
