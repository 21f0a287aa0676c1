"""Remove nothing: the control of a pruning run, a dense model that is trained for as many epochs.

What a pruned model owes to its fine-tuning is told by this one, which after as many steps was trained by the same
recipe for as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.models.masks import Masks
from prunebench.pruning.methods.unstructured import UNITS, count, prunable
from prunebench.pruning.registry import Method, Pruned, Request, methods

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
        lambda model, request: [],
    ),
)
