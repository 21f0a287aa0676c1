"""SparseGPT: weights go by what their removal adds to the error of their layer's output, and those to their right make
up for it (Frantar and Alistarh 2023, arXiv 2301.00774).

Layers are pruned one after the other in the order in which the model uses them, each by what it reads once those before
it are pruned, as in the paper; what is fine-tuned afterwards starts from the weights that were made up. Batch norms
keep their statistics. How it is computed is told in `solvers/sparsegpt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch

    from prunebench.pruning.granularity import Pattern


def sparsegpt(
    weight: torch.Tensor, gram: torch.Tensor, left: torch.Tensor, going: int, pattern: Pattern | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which weights stay, and their values, both (groups, rows, columns)."""
    from prunebench.pruning.solvers.sparsegpt import solve

    if pattern is None:
        return solve(weight, gram, going, left)
    assert pattern.left is not None
    return solve(weight, gram, left=left, pattern=(round(pattern.left * pattern.of), pattern.of))


criteria.add(
    "sparsegpt",
    Criterion(
        "sparsegpt",
        "smallest w²/[H⁻¹]ⱼⱼ, H = Σ x xᵀ, made up for by the weights that stay (Frantar and Alistarh 2023)",
        solve=sparsegpt,
        scope="layerwise",
    ),
)
