"""Selection: which of some weights go, once they are scored and it is known how many.

Scores are given by tensor; −inf where a weight has gone before, +inf where it must stay. What comes out says by tensor
which stay. Of equal scores the first go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from prunebench.models.wide import doubled
from prunebench.pruning.granularity import Pattern
from prunebench.pruning.matrices import Matrix

Scores = Mapping[str, torch.Tensor]
Staying = dict[str, torch.Tensor]

SMALL, SAMPLE, PART = 2**20, 2**16, 2**20
"""Scores that are ranked as they are; of more about so many are ranked first, and then looked at part by part."""


def lowest_together(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Which stay of `scores`, flat, where the `count` lowest go; those that have gone before are among these."""
    if not count:
        return torch.ones_like(scores, dtype=torch.bool)
    near, below = _near(scores, count) if len(scores) > SMALL else (None, 0)
    values = scores if near is None else scores[near]
    # NumPy's selection needs one copy of the scores; torch.kthvalue one of their indices too, and ten times as long.
    threshold = float(np.partition(values.cpu().numpy(), count - below - 1)[count - below - 1])
    ties = count - below - int(torch.count_nonzero(values < threshold))
    stay = scores >= threshold
    equal = (values == threshold).nonzero()[:ties, 0]
    stay[equal if near is None else near[equal]] = False
    return stay


def _near(scores: torch.Tensor, count: int) -> tuple[torch.Tensor | None, int]:
    """Places, ascending, of all scores of a range that holds the `count`th lowest, and how many lie below the range.

    The range is that of the ranks near it of a sample. None and 0 where the sample misleads, or where the range holds
    more than it spares.
    """
    sample = scores[:: len(scores) // SAMPLE | 1].sort().values  # the stride is odd: widths are even
    rank, margin = count * len(sample) // len(scores), 6 * math.isqrt(len(sample))
    low = max(float(sample[max(0, rank - margin)]), torch.finfo(scores.dtype).min)  # above what has gone before
    high = float(sample[min(len(sample) - 1, rank + margin)])
    found, at_least, start = [], 0, 0
    for part in scores.split(PART):
        above = part >= low
        at_least += int(torch.count_nonzero(above))
        found.append(above.logical_and_(part <= high).nonzero()[:, 0] + start)
        start += len(part)
        if sum(map(len, found)) > len(scores) // 8:
            return None, 0
    near, below = torch.cat(found), len(scores) - at_least
    return (near, below) if below < count <= below + len(near) else (None, 0)


def lowest_of_rows(scores: torch.Tensor, matrix: Matrix, going: int) -> torch.Tensor:
    """Which stay where of every row the same share goes, `going` in all: rounded down, the largest remainders up."""
    of_rows = scores.flatten()[matrix.index]
    left, free = (of_rows > -torch.inf).sum(1), ((of_rows > -torch.inf) & (of_rows < torch.inf)).sum(1)
    shares = going * doubled(left) / doubled(left.sum()).clamp(min=1)
    each = shares.floor().long()
    each[(each - shares).argsort(stable=True)[: going - int(each.sum())]] += 1
    each = each.to(free.device).minimum(free)
    order = of_rows.sort(dim=1, stable=True).indices
    places = torch.arange(of_rows.shape[1], device=order.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places)
    stay = ranks >= (of_rows.shape[1] - left + each)[:, None]
    return _placed(stay, matrix, scores)


def lowest_blocks(scores: Scores, matrices: Mapping[str, Matrix], pattern: Pattern, going: int) -> Staying:
    """Which stay where whole blocks go, as many of the lowest as come nearest to `going` weights."""
    assert pattern.blocks is not None
    blocks = {name: _Blocks(scores[name], matrices[name], pattern) for name in scores}
    means, order = torch.cat([each.means for each in blocks.values()]).sort(stable=True)
    gone = torch.cat([each.sizes for each in blocks.values()])[order].cumsum(0)
    count = int((torch.cat([gone.new_zeros(1), gone]) - going).abs().argmin())
    stay = torch.ones_like(means, dtype=torch.bool)
    stay[order[:count]] = False
    parts = zip(blocks.items(), stay.split([len(each.sizes) for each in blocks.values()]), strict=True)
    return {
        name: _placed(part[each.numbers], matrices[name], scores[name]) & (scores[name] > -torch.inf)
        for (name, each), part in parts
    }


class _Blocks:
    """The blocks of a tensor: `numbers` of the weights', of the matrix' shape; `sizes`, how many weights are left in
    each; and `means` of their scores, −inf where none is."""

    def __init__(self, scores: torch.Tensor, matrix: Matrix, pattern: Pattern) -> None:
        assert pattern.blocks is not None
        rows, columns = matrix.index.shape
        of_matrix = doubled(scores.flatten()[matrix.index].flatten())
        self.numbers = pattern.blocks(rows, columns, matrix.inputs).to(of_matrix.device)
        left = of_matrix > -torch.inf
        nothing = of_matrix.new_zeros(int(self.numbers.max()) + 1)
        self.sizes = nothing.index_add(0, self.numbers.flatten(), left.to(of_matrix.dtype))
        sums = nothing.index_add(0, self.numbers.flatten(), of_matrix.masked_fill(~left, 0.0))
        self.means = torch.where(self.sizes > 0, sums / self.sizes, -torch.inf)


def by_pattern(scores: torch.Tensor, matrix: Matrix, pattern: Pattern) -> torch.Tensor:
    """Which stay where the pattern decides within every row; of a convolution at every place of the kernel."""
    assert pattern.stays is not None
    return _placed(pattern.stays(scores.flatten()[matrix.index]), matrix, scores)


def _placed(stay: torch.Tensor, matrix: Matrix, like: torch.Tensor) -> torch.Tensor:
    """What is told of a matrix, of the shape of its tensor."""
    flat = torch.ones(like.numel(), dtype=torch.bool, device=like.device)
    flat[matrix.index.flatten()] = stay.flatten().to(like.device)
    return flat.view(like.shape)
