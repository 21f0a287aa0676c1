"""Learning-rate rewinding: train on from what pruning has left, with the learning rates that the dense training had
from an epoch on (Renda et al. 2020, arXiv 2003.02389).

Optimizer, batch size, schedule and all else are the dense training's too; the optimizer's state begins anew. Order and
randomness are a step's own.
"""

from __future__ import annotations

from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, from_epoch, not_before, policies


def recipe(dense: Recipe, rewind_epoch: int) -> Recipe:
    """The dense training's from the epoch on."""
    return from_epoch(dense, rewind_epoch)


policies.add(
    "lr-rewind",
    Policy(
        "lr-rewind",
        "train on as the dense model was trained from --rewind-epoch to its end (Renda et al. 2020, arXiv 2003.02389)",
        recipe,
        tunes=lambda epochs: False,
        unfit=not_before,
    ),
)
