"""Taylor: by what the loss changes, to first order, where a weight or unit goes (Molchanov et al. 2019, arXiv
1906.10771).

`taylor` is (Σ w·g)² over the weights of a unit, and (w·g)² of a weight; `taylor-abs` is Σ|w·g|. g is the gradient of
the mean loss of the calibration samples. The paper squares batch by batch, and takes the weights of a filter or the
scale of its norm; here all samples are one batch, and all weights that go with a unit count. In a network of ReLUs
without biases those that make a unit and those that read it have the same sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria, register_criterion

if TYPE_CHECKING:
    import torch


def taylor(weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """|w·g|, which ranks as its square does, and is not 0 where that would be too small a number."""
    return (weight * gradient).abs()


def taylor_of_units(weights: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """(Σ w·g)² of each unit, of (units, values), float64 of shape (units,)."""
    return (weights * gradients).cpu().double().sum(1).square()


criteria.add(
    "taylor",
    Criterion("taylor", "smallest change of the loss, (Σ w·g)² (Molchanov et al. 2019)", taylor, unit=taylor_of_units),
)


@register_criterion("taylor-abs", "smallest sum of the changes of the loss, Σ|w·g| (Molchanov et al. 2019)")
def taylor_abs(weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """|w·g|, whose sum ranks units."""
    return (weight * gradient).abs()
