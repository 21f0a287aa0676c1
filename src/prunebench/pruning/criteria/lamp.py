"""LAMP: a weight against those of its layer that are not smaller (Lee et al. 2021, arXiv 2010.07611).

score(u) = w_u² / Σ_{v ≥ u} w_v², over the weights of a layer in the order of their sizes. The largest of each layer
scores 1, so none is emptied by a ranking of the whole model. Of equal weights the first counts as the smaller, as in
the paper, so one of them alone scores 1. Of units the same, with the sum of the squares of a unit's weights for w².
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


def lamp(weight: torch.Tensor) -> torch.Tensor:
    """w_u² / Σ_{v ≥ u} w_v², of the weight's shape; 0 where the weight is 0."""
    return against_larger(weight.cpu().double().square()).float()


def lamp_of_units(weights: torch.Tensor) -> torch.Tensor:
    """The same of the units of a group, of shape (units,)."""
    return against_larger(weights.cpu().double().square().sum(1))


def against_larger(energy: torch.Tensor) -> torch.Tensor:
    """What is not negative, each divided by the sum of itself and what is larger; of equal ones the later is larger."""
    import torch

    ordered, order = energy.flatten().sort(stable=True)
    sums = ordered.flip(0).cumsum(0).flip(0)
    shares = torch.where(ordered > 0, ordered / sums, 0.0)
    return torch.empty_like(shares).index_copy_(0, order, shares).view(energy.shape)


criteria.add(
    "lamp",
    Criterion(
        "lamp",
        "w² over the sum of its layer's squares that are not smaller (Lee et al. 2021)",
        lamp,
        unit=lamp_of_units,
    ),
)
