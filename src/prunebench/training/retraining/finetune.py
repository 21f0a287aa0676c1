"""Fine-tune: train on from what pruning has left, by a recipe of its own (Han et al. 2015, arXiv 1506.02626)."""

from __future__ import annotations

from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, policies


def recipe(tuned: Recipe) -> Recipe:
    """That of fine-tuning."""
    return tuned


policies.add(
    "finetune",
    Policy("finetune", "train on by settings of its own (Han et al. 2015, arXiv 1506.02626)", recipe),
)
