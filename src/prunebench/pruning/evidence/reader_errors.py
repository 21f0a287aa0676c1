"""Reader errors: how what reads the units of a group changes without some of them, by pairs of units.

A unit c adds y_c to what the layers put out that read it. Without a set S of units the squared error of all these
outputs, over the calibration samples and positions, is ‖Σ_{c∈S} y_c‖² = Σ_{c,d∈S} A[c,d], summed over the readers:

    A[c,d] = ⟨y_c, y_d⟩ = Σ G_ij·(WᵀW)_ij over the columns i that read c and j that read d

with G = Σ x xᵀ of what a reader reads and W its weights, (rows, columns). Outputs that go with the units themselves,
as where a residual stream is read and added to, count as others. One Gram matrix is held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.pruning.evidence import GRAM, untold
from prunebench.pruning.evidence.gather import gram_for
from prunebench.pruning.evidence.gram import Gram
from prunebench.pruning.registry import Request
from prunebench.pruning.units.groups import Group

VALUES = 2**22
"""Pairs of columns at a time."""


def reader_errors(model: nn.Module, groups: Sequence[Group], request: Request) -> Iterator[torch.Tensor]:
    """A of each group in turn, (units, units), float64 where the device has it; the model stays as it is.

    The samples pass once for every reader, whichever groups it reads.

    Raises:
        ConfigError: there is no training data, or what a reader reads cannot be told.
    """
    readers = [dict.fromkeys(part.parameter for part in group.parts if part.reads) for group in groups]
    sums: dict[str, torch.Tensor] = {}
    done: set[str] = set()
    for group, names in zip(groups, readers, strict=True):
        for name in (name for name in names if name not in done):
            done.add(name)
            gram = _gram(model, request, name, group)
            for other in (other for other, own in zip(groups, readers, strict=True) if name in own):
                pairs = _pairs(other, name, model.get_parameter(name).detach(), gram)
                sums[other.name] = pairs + sums.get(other.name, 0)
        yield sums.pop(group.name)


def _gram(model: nn.Module, request: Request, name: str, group: Group) -> Gram:
    if name not in dict(model.named_parameters()):
        raise ConfigError(untold(name, GRAM, group.modules[0]))
    return gram_for(model, request, name, excluding=group.modules[0])


def _pairs(group: Group, name: str, parameter: torch.Tensor, gram: Gram) -> torch.Tensor:
    """⟨y_c, y_d⟩ of what the units of a group add to what one reader puts out, (units, units).

    Raises:
        ConfigError: units are no columns of the reader.
    """
    total = torch.zeros(group.units + 1, group.units + 1, dtype=gram.parts[0].gram.dtype, device=parameter.device)
    split = zip(
        gram.parts, *(gram.split(parameter, each) for each in (parameter, _units(group, name, parameter))), strict=True
    )
    for part, weights, units in split:
        if (units != units[:, :1]).any():
            raise ConfigError(untold(name, GRAM, group.modules[0]))
        for matrix, of_group, own in zip(part.gram, weights, units[:, 0], strict=True):
            _add(total, matrix, of_group.to(total.dtype), own)
    return total[:-1, :-1]


def _add(total: torch.Tensor, matrix: torch.Tensor, weights: torch.Tensor, units: torch.Tensor) -> None:
    """Add G_ij·(WᵀW)_ij where the units of its columns meet, block by block of columns.

    Args:
        total: (units + 1, units + 1), the last of which is none.
        matrix: G, (columns, columns).
        weights: W, (rows, columns).
        units: the unit of each column.
    """
    for some in torch.arange(len(units), device=units.device).split(max(1, VALUES // len(units))):
        products = (weights[:, some].mT @ weights).mul_(matrix[some])
        by_unit = products.new_zeros(len(some), len(total)).index_add_(1, units, products)
        total.index_add_(0, units[some], by_unit)


def _units(group: Group, name: str, parameter: torch.Tensor) -> torch.Tensor:
    """Which unit each weight of a reader reads, of its shape; `group.units` where it reads none."""
    found = torch.full(parameter.shape, group.units, dtype=torch.int32, device=parameter.device)
    for part in group.parts:
        if part.reads and part.parameter == name:
            along = found.movedim(part.dim, -1)
            along[..., part.index.to(found.device)] = part.unit.to(found)
    return found
