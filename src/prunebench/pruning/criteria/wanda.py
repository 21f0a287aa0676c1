"""Wanda: weights by their size and by what they are multiplied with, against those of the same output (Sun et al. 2024,
arXiv 2306.11695).

|w|·‖x‖₂, where x is all that the weight is multiplied with over the calibration samples; of a convolution, what its
place of the kernel reads. Weights compete within their output row, unless another scope is asked for. Where nothing
is trained afterwards, layers are calibrated one after the other as in the paper, each by what the pruned ones before it
put out; else all on the model as it is before the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def wanda(weight: torch.Tensor, input_norm: torch.Tensor) -> torch.Tensor:
    """|w|·‖x‖₂, of the weight's shape."""
    return weight.abs() * input_norm


criteria.add(
    "wanda",
    Criterion(
        "wanda",
        "smallest |w|·‖x‖₂, of single weights within each output row (Sun et al. 2024)",
        wanda,
        scope="row",
    ),
)
