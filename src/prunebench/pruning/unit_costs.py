"""Costs of units: what a model has less of, parameters, multiply-accumulates or milliseconds, where units go.

Parameters are arithmetic. Multiply-accumulates are counted on a copy that the units were removed from, operator by
operator, so that they are exact whatever reads the units. Milliseconds are given with the request: whoever measures
them keeps them, as measured anew they would be others. Where none are given, nothing is pruned for good: shapes are
looked at, or a run is rehearsed; there multiply-accumulates stand for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from prunebench.pruning.registry import Request

if TYPE_CHECKING:
    from torch import nn

    from prunebench.pruning.units.groups import Group


def unit_costs(model: nn.Module, groups: Sequence[Group], request: Request) -> list[float]:
    """What one unit of each group costs of what `request.by` names; 1 parameter or multiply-accumulate of a group that
    has only one left, or where nothing goes with it."""
    if request.by == "latency" and request.costs is not None:
        return [request.costs[group.name] for group in groups]
    counted = params_without if request.by == "params" else macs_without
    whole = counted(model, groups, {}, request)
    found = []
    for group in groups:
        less = whole - counted(model, groups, {group.name: 1}, request) if group.units > 1 else 1
        found.append(float(max(1, less)))
    return found


def params_without(model: nn.Module, groups: Sequence[Group], going: Mapping[str, int], request: Request) -> int:
    """Parameters of a model without so many units of these groups, all of which are built alike in a group."""
    gone: dict[str, dict[int, int]] = {}
    for group in groups:
        for part in group.parts:
            dims = gone.setdefault(part.parameter, {})
            dims[part.dim] = dims.get(part.dim, 0) + len(part.index) // group.units * going.get(group.name, 0)
    return sum(
        prod(size - gone.get(name, {}).get(dim, 0) for dim, size in enumerate(parameter.shape))
        for name, parameter in model.named_parameters()
    )


def macs_without(model: nn.Module, groups: Sequence[Group], going: Mapping[str, int], request: Request) -> int:
    """Multiply-accumulates of one sample without so many units of these groups, the first ones."""
    from prunebench.models.macs import total, uses
    from prunebench.models.taken_over import copied
    from prunebench.pruning.units.removable import without

    assert request.removable is not None
    doomed = {group.name: list(range(going.get(group.name, 0))) for group in groups}
    if not any(doomed.values()):
        return total(uses(model, request.inputs))
    return total(uses(without(copied(model), request.inputs, groups, request.removable, doomed), request.inputs))
