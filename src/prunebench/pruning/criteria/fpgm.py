"""FPGM: the filters nearest to all others go, since these can stand in for them (He et al. 2019, arXiv 1811.00250).

score_i = Σ_j ‖F_i − F_j‖₂ over the filters of a group; of several layers that make the same units, over all of theirs
side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch


BLOCK = 1024
"""Filters whose distances to as many others are computed at once."""


def fpgm(filters: torch.Tensor) -> torch.Tensor:
    """Σ_j ‖F_i − F_j‖₂ of filters (units, values), float64 of shape (units,).

    Distances come of products, in double precision; what lies about a filter's mean loses least. Those of two blocks of
    filters are computed once for both, which of many takes little more than half.
    """
    import torch

    filters = filters.cpu().double()
    blocks = (filters - filters.mean(0)).split(BLOCK)
    sums = [torch.zeros(len(block), dtype=torch.float64) for block in blocks]
    for i, one in enumerate(blocks):
        for j, other in enumerate(blocks[: i + 1]):
            distances = torch.cdist(one, other, compute_mode="use_mm_for_euclid_dist")
            sums[i] += distances.sum(1)
            if i != j:
                sums[j] += distances.sum(0)
    return torch.cat(sums)


criteria.add(
    "fpgm",
    Criterion("fpgm", "of units: smallest sum of distances to the others, Σ‖Fᵢ−Fⱼ‖ (He et al. 2019)", unit=fpgm),
)
