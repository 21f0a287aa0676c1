"""Movement: weights that fine-tuning moves towards zero matter least, however large they are (Sanh et al. 2020, arXiv
2005.07683).

score = −Σ w·g over the steps of an epoch of fine-tuning: w before a step, g the gradient of its batch. A step of the
optimizer goes against g, so the score is high where |w| grows and low where it shrinks. The paper adds up while it
fine-tunes and prunes in the same steps, and lets masked weights come back; here, before each pruning, a copy of the
model as it is is fine-tuned for one epoch by the settings of fine-tuning, its masked weights at zero, and given up. So
the criterion is a function of the model and of position, as any other, and costs an epoch more per step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import register_criterion

if TYPE_CHECKING:
    import torch


@register_criterion("movement", "lowest −Σ w·g over an epoch of fine-tuning before each pruning (Sanh et al. 2020)")
def movement(movement: torch.Tensor) -> torch.Tensor:
    """−Σ w·g, whose sum ranks units."""
    return movement
