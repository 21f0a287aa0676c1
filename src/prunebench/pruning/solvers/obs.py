"""OBS, the optimal brain surgeon, row by row: weight after weight, all that are left solved for anew (Hassibi and Stork
1993; of layers as here, Frantar and Alistarh 2022, arXiv 2208.11580).

Of the weights that a row has left, that with the least w² / [H⁻¹]_jj goes, with H the Gram matrix of their columns: so
much does its removal add to the error, once the others have made up for it. Every removal takes the inverse of the
columns that its row has left, so this is for small layers, and the reference that faster ways are compared with.
"""

from __future__ import annotations

import torch

TINY = 1e-10
"""What is added to the diagonal where a matrix is inverted to score, as a share of its mean: of columns that say the
same, and of those that read only zeros, one goes at no cost."""


def solve(
    weight: torch.Tensor, gram: torch.Tensor, going: int, left: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which weights stay, a bool tensor, and their values, zero where it is False: the least squares of the row's
    output on the columns that it has left.

    Args:
        weight: (rows, columns), a row per output.
        gram: (columns, columns), Σ x xᵀ of what the columns read over samples and positions.
        going: weights that go of every row, at most those that it has left.
        left: bool as `weight`, False where weights have gone before.

    Computed in float64; the weights are returned in the type that they had.
    """
    values, gram = weight.detach().double(), gram.double()
    mask = torch.ones_like(values, dtype=torch.bool) if left is None else left.clone()
    found, ridge = torch.zeros_like(values), TINY * gram.diagonal().mean().clamp(min=TINY)
    for row, kept, own in zip(values, mask, found, strict=True):
        for _ in range(min(going, int(kept.sum()))):
            columns = kept.nonzero()[:, 0]
            inverse = torch.linalg.inv(gram[columns][:, columns] + ridge.expand(len(columns)).diag())
            kept[columns[(refit(row, gram, columns).square() / inverse.diagonal()).argmin()]] = False
        columns = kept.nonzero()[:, 0]
        own[columns] = refit(row, gram, columns)
    return mask, found.to(weight.dtype)


def refit(row: torch.Tensor, gram: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The weights of some columns that come nearest to what the whole row puts out, (columns,); of several such the
    smallest."""
    inverse: torch.Tensor = torch.linalg.pinv(gram[columns][:, columns], hermitian=True)
    return inverse @ (gram[columns] @ row)
