"""SynFlow: weights through which least flows, by the sizes of weights alone (Tanaka et al. 2020, arXiv 2006.05467).

score = |w·∂R/∂w| / R, where R is the sum of what a network puts out for an input of ones, its weights replaced by their
absolute values. Every layer's scores sum up to 1 (`evidence/flow`), so those of a large layer are small, and pruned at
once it would go as a whole: one step prunes in 100 rounds, after k of which (what the step leaves)^(k/100) is left, and
each scores what the one before has left. It looks at no data. What norms or bounds the flow may not be in the model:
softmax, sigmoid, ReLU6, norms of what passes. The paper prunes untrained weights in one step: `--epochs 0`, then
`--finetune-epochs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch

ROUNDS = 100
"""As in the paper."""


def synflow(weight: torch.Tensor, synaptic_flow: torch.Tensor) -> torch.Tensor:
    """|w·∂R/∂w| / R, whose sum ranks units."""
    return (weight.to(synaptic_flow.dtype) * synaptic_flow).abs().float()


criteria.add(
    "synflow",
    Criterion(
        "synflow",
        "least flow by sizes of weights alone, |w·∂R/∂w|, in 100 rounds (Tanaka et al. 2020)",
        synflow,
        rounds=ROUNDS,
    ),
)
