"""None: nothing is retrained; as fine-tuning for no epoch."""

from __future__ import annotations

from dataclasses import replace

from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, policies


def recipe(tuned: Recipe) -> Recipe:
    """That of fine-tuning, for no epoch."""
    return replace(tuned, epochs=0)


policies.add(
    "none",
    Policy("none", "nothing is trained; as --finetune-epochs 0", recipe, tunes=lambda epochs: False),
)
