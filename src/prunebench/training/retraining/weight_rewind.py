"""Weight rewinding: what is left gets the values back that it had in the dense training after an epoch, and is trained
as the dense model was from there (Frankle et al. 2019, arXiv 1903.01611); epoch 0 is the initialisation, the lottery
ticket (Frankle and Carbin 2018, arXiv 1803.03635).

Buffers go back too, such as the statistics of batch norms. The optimizer's state begins anew; order and randomness are
a step's own. Where weights are taken as they are (--epochs 0) they are what is gone back to, in every step, and
training is fine-tuning's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunebench.config import Settings
from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, from_epoch, not_before, policies, untuned

if TYPE_CHECKING:
    from prunebench.models.checkpoint import Checkpoint


def recipe(dense: Recipe, tuned: Recipe, rewind_epoch: int) -> Recipe:
    """The dense training's from the epoch on; without one, that of fine-tuning."""
    return from_epoch(dense, rewind_epoch) if dense.epochs else tuned


def start(state: Checkpoint, rewound: Callable[[], Checkpoint]) -> None:
    """Give what is left the values of the dense model as it was."""
    from prunebench.models.filling import fill

    fill(state, rewound())


def unfit(settings: Settings) -> str:
    """Why there is nothing to go back to, or no training from there."""
    if settings.epochs:
        return not_before(settings)
    if settings.rewind_epoch:
        return f"--rewind-epoch {settings.rewind_epoch} is of the dense training, and --epochs 0 has none; give 0"
    return untuned(settings)


policies.add(
    "weight-rewind",
    Policy(
        "weight-rewind",
        "weights as they were at --rewind-epoch, trained from there as the dense model was (Frankle et al. 2019, arXiv "
        "1903.01611)",
        recipe,
        start,
        tunes=lambda epochs: not epochs,
        unfit=unfit,
    ),
)
