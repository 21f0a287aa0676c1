"""ThiNet: units go whose removal changes least what the layers that read them put out (Luo et al. 2017, arXiv
1707.06342).

Greedy, as published: again and again that unit goes by which the error of all that have gone grows least; of equal ones
the first. The error is ‖Σ y_c‖² over the units c that have gone, where y_c is what c adds to all outputs of the layers
that read it, over the calibration samples and positions, of which the paper draws some. It then scales the channels
that stay by least squares; here no values change, and fine-tuning makes up for what has gone. It prunes and fine-tunes
layer after layer; here all groups of a step are scored on the model as it is before any is removed.

score = the largest error on the way until the unit has gone, over ‖Σ y‖² of all units, which is what the readers put
out but for biases. So of groups that compete, each loses units as long as its relative error is below the same bound.
Where an error does not grow, since what units add cancels, the score does by 2⁻⁴⁰ of itself, which keeps the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.pruning.registry import Criterion, criteria

if TYPE_CHECKING:
    import torch

RISE = 2.0**-40
"""By how much a score is above the one before at least, relative to it."""


def thinet(reader_errors: torch.Tensor) -> torch.Tensor:
    """Relative errors when each unit goes, of (units, units), float64 of shape (units,)."""
    import torch

    pairs = reader_errors.cpu().double()
    order, errors = greedy(pairs)
    whole = pairs.sum()
    relative = errors.cummax(0).values / (whole if whole > 0 else 1)
    scores = torch.empty_like(relative)
    scores[order] = relative * (1 + RISE * torch.arange(len(order), dtype=relative.dtype))
    return scores


def greedy(pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The order in which units go, and the error once each of them has gone, not below 0.

    Args:
        pairs: (units, units), whose sum over a set of units, by pairs, is the error without them.
    """
    import torch

    order, errors = [], []
    own, crossing, gone = pairs.diag(), torch.zeros(len(pairs), dtype=pairs.dtype), torch.zeros(len(pairs)).bool()
    error = torch.zeros((), dtype=pairs.dtype)
    for _ in range(len(pairs)):
        without = (error + own + 2 * crossing).clamp(min=0).masked_fill(gone, torch.inf)
        unit = int(without.argmin())
        error, gone[unit] = without[unit], True
        crossing += pairs[unit]
        order.append(unit)
        errors.append(error)
    return torch.tensor(order), torch.stack(errors)


criteria.add(
    "thinet",
    Criterion(
        "thinet",
        "of units: greedily the smallest ‖Σy‖² of those gone, y what its readers add by each (Luo et al. 2017)",
        unit=thinet,
    ),
)
