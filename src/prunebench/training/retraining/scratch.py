"""From scratch: the pruned architecture, or mask, trained from fresh weights for as many epochs as the dense model was
(Liu et al. 2018, arXiv 1810.05270, Scratch-E).

Fresh are weights of the unpruned model, of which the units that are left are taken: each layer's are drawn for its
original width. The paper draws them for the pruned one. Masks stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prunebench.config import Settings
from prunebench.training.optimizers import Recipe
from prunebench.training.policies import Policy, policies

if TYPE_CHECKING:
    from prunebench.models.checkpoint import Checkpoint


def recipe(dense: Recipe) -> Recipe:
    """The dense training's."""
    return dense


def start(state: Checkpoint, fresh: Callable[[], Checkpoint]) -> None:
    """Give what is left fresh values."""
    from prunebench.models.filling import fill

    fill(state, fresh())


def unfit(settings: Settings) -> str:
    """That nothing tells how long to train."""
    return "" if settings.epochs else "it trains as long as the dense model was, and --epochs are 0"


policies.add(
    "scratch",
    Policy(
        "scratch",
        "fresh weights in what is left, trained as the dense model was (Liu et al. 2018, arXiv 1810.05270)",
        recipe,
        start,
        tunes=lambda epochs: False,
        unfit=unfit,
    ),
)
