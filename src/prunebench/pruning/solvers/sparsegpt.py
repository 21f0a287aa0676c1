"""SparseGPT: column after column, what is taken away is made up for to its right (Frantar and Alistarh 2023, arXiv
2301.00774).

With F the columns from j on and H_F the Gram matrix of these alone, a weight w of column j scores w² / [H_F⁻¹]_jj,
which is what its removal adds to the error once the columns of F have made up for it; where it goes, w / [H_F⁻¹]_jj
times the first row of H_F⁻¹ is taken from its row. All these inverses are in one triangular factor U, H⁻¹ = UᵀU:
[H_F⁻¹]_jj is U_jj², the row U_jj·U_j.

As in the published code, 1 % of H's mean diagonal is added to it, and columns pass in blocks of 128: the mask of a
block is chosen over all rows when it is reached, by the weights as they are then; of N:M patterns each M columns' is.
Other than there, how many go is exact to the weight, and of columns that read nothing but zeros all weights go first,
the smaller before the larger; those that stay keep their values, and the mean is over the other columns, so that the
scale of the data changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from prunebench.pruning.shares import whole

BLOCK = 128
"""Columns whose mask is chosen together."""

DAMPING = 0.01
"""What is added to the diagonal of the Gram matrix, as a share of its mean."""


def solve(
    weight: torch.Tensor,
    gram: torch.Tensor,
    going: int = 0,
    left: torch.Tensor | None = None,
    *,
    pattern: tuple[int, int] | None = None,
    block: int = BLOCK,
    damping: float = DAMPING,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which weights stay, a bool tensor, and the weights that make up for the others, zero where it is False.

    Args:
        weight: (…, rows, columns), a row per output.
        gram: (…, columns, columns), Σ x xᵀ of what the columns read over samples and positions. Of several, as of a
            grouped convolution, the rows compete as those of one do.
        going: weights that go of those left, of each block as many as of every other, by what is left of it.
        left: bool as `weight`, False where weights have gone before; these stay away.
        pattern: (N, M): N of every M columns stay in each row instead, of fewer columns at the end N at most.
        block: columns whose mask is chosen together; a whole number of M's is taken.

    Computed in float64; the weights are returned in the type that they had.
    """
    device = torch.device("cpu") if weight.device.type == "mps" else weight.device  # which has no float64
    values, gram = weight.detach().to(device, torch.float64, copy=True), gram.to(device, torch.float64)
    mask = torch.ones_like(values, dtype=torch.bool) if left is None else left.to(device, copy=True)
    factor, dead = inverse_factor(gram, damping), gram.diagonal(dim1=-2, dim2=-1) == 0
    run = block if pattern is None else pattern[1]
    width = max(1, block // run) * run
    counts = _counts(mask, going, width)
    for start in range(0, weight.shape[-1], width):
        here, after = slice(start, start + width), slice(start + width, None)
        choose = partial(largest_kept, count=pattern[0]) if pattern else partial(smallest_removed, count=counts[start])
        parts = values[..., here], mask[..., here], factor[..., here, here], dead[..., here]
        values[..., after] -= _pass(*parts, run=run, choose=choose) @ factor[..., here, after]
    return mask.to(weight.device), values.to(weight.device, weight.dtype)


def _pass(
    values: torch.Tensor,
    mask: torch.Tensor,
    factor: torch.Tensor,
    dead: torch.Tensor,
    *,
    run: int,
    choose: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Prune the columns of a block in place, `run` after `run`, of which each has its mask chosen when it is reached;
    what the columns to its right are to make up for, as multiples of the factor's rows, (…, rows, columns)."""
    errors, diagonal = torch.zeros_like(values), factor.diagonal(dim1=-2, dim2=-1)
    for i in range(values.shape[-1]):
        if i % run == 0:
            now = slice(i, i + run)
            scores = _scores(values[..., now], diagonal[..., None, now], dead[..., None, now])
            mask[..., now] = choose(scores, mask[..., now])
        gone = values[..., i].masked_fill(mask[..., i], 0) / diagonal[..., i, None]
        values[..., i:] -= gone[..., None] * factor[..., i, None, i:]
        values[..., i].masked_fill_(~mask[..., i], 0)
        errors[..., i] = gone
    return errors


def inverse_factor(gram: torch.Tensor, damping: float) -> torch.Tensor:
    """The upper triangular U with (H + damping·mean diagonal)⁻¹ = UᵀU, (…, columns, columns).

    U is the inverse of the triangular factor of H that is found from its last row on. A column of zeros stands alone.
    """
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    live = diagonal != 0
    mean = diagonal.sum(-1, keepdim=True) / live.sum(-1, keepdim=True).clamp(min=1)
    mean = torch.where(mean > 0, mean, 1.0)
    damped = gram + torch.diag_embed(torch.where(live, damping * mean, mean))
    upper = torch.linalg.cholesky(damped.flip(-2, -1)).flip(-2, -1)  # H = upper·upperᵀ
    unit = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    inverse: torch.Tensor = torch.linalg.solve_triangular(upper, unit, upper=True)
    return inverse


def _scores(values: torch.Tensor, diagonal: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
    """w² / U_jj²; of what reads only zeros below 0, and less for the smaller."""
    squares = values.square()
    return torch.where(dead, -1 / (1 + squares), squares / diagonal.square())


def smallest_removed(scores: torch.Tensor, mask: torch.Tensor, count: int) -> torch.Tensor:
    """The mask without `count` more of its weights, those that score lowest; of equals the first go."""
    order = scores.masked_fill(~mask, -torch.inf).flatten().argsort(stable=True)
    gone = order[: int((~mask).sum()) + count]
    return torch.ones_like(mask).flatten().index_fill_(0, gone, False).view(mask.shape)


def largest_kept(scores: torch.Tensor, mask: torch.Tensor, count: int) -> torch.Tensor:
    """The mask with the `count` weights of every row that score highest, or those that it has; of equals the last."""
    order = scores.masked_fill(~mask, -torch.inf).argsort(dim=-1, stable=True)
    return mask & torch.ones_like(mask).scatter_(-1, order[..., : max(0, order.shape[-1] - count)], False)


def _counts(mask: torch.Tensor, going: int, width: int) -> dict[int, int]:
    """How many go of each block, by its first column: the same share of what is left of each, `going` in all."""
    left = {start: int(mask[..., start : start + width].sum()) for start in range(0, mask.shape[-1], width)}
    total = sum(left.values())
    if not total:
        return left
    shares = whole({str(start): going * count / total for start, count in left.items()})
    return {start: shares[str(start)] for start in left}
