"""LAMP's shares: of each layer goes what a ranking of the model by LAMP scores would take (Lee et al. 2021, arXiv
2010.07611). Which weights these are, the criterion says; with l1 or l2 they are LAMP's own. Of units the same, with the
sum of the squares of a unit's weights for w²."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prunebench.pruning.scopes.ranked import together
from prunebench.pruning.shares import Scope, scopes

if TYPE_CHECKING:
    import torch


def lamp(weights: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor], going: int) -> dict[str, int]:
    """How many of each layer are among the `going` weights that score least; of equal ones the first layer's go."""
    import numpy as np
    import torch

    from prunebench.pruning.criteria.lamp import lamp as score

    if not going:
        return dict.fromkeys(weights, 0)
    scores = {name: score(weight)[masks[name].cpu()] for name, weight in weights.items()}
    threshold = float(np.partition(torch.cat(list(scores.values())).numpy(), going - 1)[going - 1])
    found = {name: int((each < threshold).sum()) for name, each in scores.items()}
    ties = going - sum(found.values())
    for name, each in scores.items():
        more = min(ties, int((each == threshold).sum()))
        found[name], ties = found[name] + more, ties - more
    return found


def lamp_of_units(weights: torch.Tensor) -> torch.Tensor:
    """The LAMP scores of a group's units, of (units, values)."""
    from prunebench.pruning.criteria.lamp import lamp_of_units as score

    return score(weights)


scopes.add(
    "lamp",
    Scope(
        "lamp",
        "what a ranking by LAMP scores takes of each layer (Lee et al. 2021)",
        lamp,
        pool=together,
        shares=lamp_of_units,
    ),
)
