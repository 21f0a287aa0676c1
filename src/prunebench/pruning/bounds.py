"""Bounds: the share of units that goes so that a model has no more parameters, or multiply-accumulates, than asked for.

A share that is gone of the original units of every pool (of a group by itself, or of those that are ranked together)
says which units go. Between two shares at which a pool loses one more, the model is the same: all of these are ordered,
and the smallest is found, by bisection, whose model is within the bounds. So no larger model of the scope is.
"""

from __future__ import annotations

from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.pruning.budgets import Ranked
from prunebench.pruning.registry import Request
from prunebench.pruning.unit_costs import macs_without, params_without

if TYPE_CHECKING:
    from torch import nn

COUNTED = {"macs": ("Multiply-accumulates", macs_without), "params": ("Parameters", params_without)}
"""What can be bounded: in words, and how it is counted of a model without some units."""


def share_within(model: nn.Module, ranking: Ranked) -> float:
    """The share of the original units of every pool that is gone so that the largest model is left that is within the
    request's bounds.

    Raises:
        ConfigError: no model is, whatever goes; the message says how small it can be.
    """
    bounds = _bounds(model, ranking.request)

    def is_within(share: float) -> bool:
        chosen = ranking.chosen(share)
        return all(_count(model, ranking, what, chosen) <= bound for what, bound in bounds.items())

    if is_within(0.0):
        return 0.0
    check_bounds(model, ranking)
    shares = _shares(ranking)
    low, high = -1, len(shares) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_within(shares[middle]) else (middle, high)
    return shares[high]


def check_bounds(model: nn.Module, ranking: Ranked) -> None:
    """Raise ConfigError where no model is within the request's bounds, whatever goes; how small it can be is told."""
    least = ranking.chosen(1.0)
    for what, bound in _bounds(model, ranking.request).items():
        if (count := _count(model, ranking, what, least)) > bound:
            whole, request = _original(model, ranking.request, what), ranking.request
            floor = f", of which each layer keeps {100 * request.floor:g} %," if request.floor else ""
            raise ConfigError(
                f"{COUNTED[what][0]} cannot be brought to {bound / whole:.3g} of {whole:,}: with all units gone that "
                f"can go{floor} {count / whole:.3g} are left. Ask for less to go."
            )


def _bounds(model: nn.Module, request: Request) -> dict[str, int]:
    """What is counted, and the most of it that may be left."""
    asked = {"macs": request.macs_left, "params": request.params_left}
    return {what: int(share * _original(model, request, what) + 1e-6) for what, share in asked.items() if share}


def _original(model: nn.Module, request: Request, what: str) -> int:
    """What the unpruned model has."""
    from prunebench.models.macs import total, uses

    assert request.removable is not None
    if what == "params":
        return sum(prod(shape) for shape in request.removable.shapes.values())
    if request.original_macs is not None:
        return request.original_macs
    now = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert now == request.removable.shapes, "of a pruned model the request says what it had"
    return total(uses(model, request.inputs))


def _shares(ranking: Ranked) -> list[float]:
    """Shares that are gone, ascending, each of which leaves another model; the last leaves the least."""
    sizes = {ranking.before(pool) for pool in ranking.pools if not pool.own}
    steps = sorted({Fraction(2 * k - 1, 2 * size) for size in sizes for k in range(1, size + 1)})
    return [float((step + after) / 2) for step, after in zip(steps, [*steps[1:], Fraction(1)], strict=True)]


def _count(model: nn.Module, ranking: Ranked, what: str, chosen: list[list[int]]) -> int:
    going = {group.name: len(units) for group, units in zip(ranking.groups, chosen, strict=True)}
    return COUNTED[what][1](model, ranking.groups, going, ranking.request)
