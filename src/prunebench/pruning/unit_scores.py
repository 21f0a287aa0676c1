"""Scores of units, that the lowest go by: of weights they are reduced, and of several groups made to compare.

    reduction      what the scores s of the n weights of a unit come to: sum Σs, mean Σs/n, norm √Σs², max, abs-sum |Σs|
    normalisation  what the scores of a group are divided by: their mean, their largest, or their Euclidean norm
    by             what a unit is divided by that goes with it: macs, params or latency, alike for all units of a group

Weights are those of the layers that make the units and of those that read them, not biases or norms. torch-pruning's
MagnitudeImportance reduces layer by layer: with `target_types` of convolutions and linear layers its `sum` is the sum
here, and its `mean`, a sum over layers divided by their number, ranks alike within a group. Its `normalizer="mean"` is
that of here, where no score is negative; those that are, are divided by the mean of their sizes, which keeps the order.
Its TaylorImportance is taylor-abs; with `multivariable=True` it takes |Σ w·g| of each layer, where `taylor` squares the
sum over all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prunebench.pruning.registry import Request, scores_units
from prunebench.registry import parameters
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.shares import Scope
    from prunebench.pruning.units.groups import Group


def unit_scores(model: nn.Module, groups: Sequence[Group], request: Request) -> list[list[float]]:
    """The score of every unit of every group, as the request has them reduced, normalised, and divided by costs.

    Raises:
        ConfigError: the criterion cannot tell of these units.
    """
    scores = _scored(model, groups, request)
    if request.group_normalisation != "none":
        scores = [_normalised(each, request.group_normalisation) for each in scores]
    if request.by != "units":
        from prunebench.models.wide import doubled
        from prunebench.pruning.unit_costs import unit_costs

        costs = unit_costs(model, groups, request)
        scores = [doubled(each) / cost for each, cost in zip(scores, costs, strict=True)]
    return [each.tolist() for each in scores]


def shares_scores(model: nn.Module, groups: Sequence[Group], request: Request, scope: Scope) -> list[list[float]]:
    """The scores by which a scope says how many units go of each group."""
    assert scope.shares is not None
    own, draw = replace(request, criterion=scope.shares), generator(request.seed, "prune")
    return [own.score_units(model, group, draw).tolist() for group in groups]


def _scored(model: nn.Module, groups: Sequence[Group], request: Request) -> list[torch.Tensor]:
    draw = generator(request.seed, "prune")
    if scores_units(request.criterion):
        request.check_units(model, list(groups))
        told = _told(model, groups, request)
        return [own.score_units(model, group, draw) for group, own in zip(groups, told, strict=True)]
    known: dict[str, torch.Tensor] = {}
    found = []
    for group in groups:
        names = [part.parameter for part in group.parts if is_weight(model, part.parameter)]
        for name in names:
            if name not in known:
                known[name] = request.score(model, name, draw).float()
        found.append(_reduced(group, known, request.group_reduction or "sum"))
    return found


def _told(model: nn.Module, groups: Sequence[Group], request: Request) -> Iterator[Request]:
    """The request for each group in turn, with the evidence that is held of one group at a time."""
    if "reader_errors" not in parameters(request.criterion):
        yield from (request for _ in groups)
        return
    from prunebench.pruning.evidence.reader_errors import reader_errors

    for group, errors in zip(groups, reader_errors(model, groups, request), strict=True):
        yield replace(request, evidence={**(request.evidence or {}), "reader_errors": {group.name: errors}})


def _reduced(group: Group, scores: dict[str, torch.Tensor], reduction: str) -> torch.Tensor:
    """What the scores of the weights of each unit come to, shape (units,)."""
    import torch

    from prunebench.pruning.evidence.of_units import rows

    parts = [part for part in group.parts if part.parameter in scores]
    assert parts, "a group holds the weights of at least one layer"
    if reduction == "max":
        return torch.stack([rows([part], scores, group.units).amax(1) for part in parts]).amax(0)
    if reduction == "norm":
        scores = {part.parameter: scores[part.parameter].square() for part in parts}
    total = parts[0].sums(scores[parts[0].parameter], group.units)
    for part in parts[1:]:
        total = total + part.sums(scores[part.parameter], group.units)
    if reduction == "mean":
        return total / sum(rows([part], scores, group.units).shape[1] for part in parts)
    return {"norm": total.sqrt, "abs-sum": total.abs}.get(reduction, lambda: total)()


def _normalised(scores: torch.Tensor, normalisation: str) -> torch.Tensor:
    """Scores divided by the mean, the largest or the norm of their sizes; as they are where all of them are zero."""
    import torch

    from prunebench.models.wide import doubled

    sizes = doubled(scores).abs()
    sizes = sizes[sizes.isfinite()]
    if not len(sizes):
        return scores
    scale = {"mean": torch.mean, "max": torch.max, "norm": torch.linalg.vector_norm}[normalisation](sizes)
    return doubled(scores) / scale if scale > 0 else scores


def is_weight(model: nn.Module, name: str) -> bool:
    """Whether a name is that of a parameter of several dimensions."""
    parameter = dict(model.named_parameters()).get(name)
    return parameter is not None and parameter.ndim > 1
