"""Remove nothing: the control of a pruning run, a dense model that is trained for as many epochs.

What a pruned model owes to its fine-tuning is told by this one, which after as many steps was trained by the same
recipe for as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.methods import Masks, Method, Pruned, Request, methods
from prunebench.strategies.unstructured import UNITS, count, prunable

if TYPE_CHECKING:
    from torch import nn


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Leave the model as it is."""
    return Pruned(masks)


methods.add(
    "none",
    Method(
        "none",
        "remove nothing: a control, trained for as many epochs",
        "l1",
        UNITS,
        prune,
        count,
        prunable,
        removes=False,
    ),
)
