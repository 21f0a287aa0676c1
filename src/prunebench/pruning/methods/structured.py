"""Structured pruning: channels, neurons and attention heads are really removed (Li et al. 2017; Fang et al. 2023).

Which units hang together is found and proved elsewhere (`units`); here they are scored, ranked and removed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.pruning.registry import Alone, Method, Pruned, Request, methods, scores_units
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.kept import Kept
    from prunebench.pruning.units.groups import Group
    from prunebench.pruning.units.removable import Removable


ROUNDING = 1e-9
"""Of a share times a number of units, what arithmetic may add."""

UNITS = {"images": "channels", "text": "heads and neurons", None: "units"}


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Remove `round(fraction × units left)` units of every group, never the last one; parameters are replaced.

    Heads of all layers are ranked together and share one quota, and every layer keeps at least one, or as many as
    `floor` says. With `round_to`, as many go as leave what `left_after` says of the original units; heads are not
    rounded. Masks stay on what is left.

    Raises:
        ConfigError: the model has nothing that could be removed.
    """
    from prunebench.pruning.units.removable import take
    from prunebench.pruning.units.removal import staying

    found, groups = _selected(model, request)
    chosen = choose(model, groups, replace(request, removable=found))
    doomed = {group.name: units for group, units in zip(groups, chosen, strict=True)}
    stays = staying(model, groups, doomed)
    take(model, request.inputs, found, doomed)
    spared = [group.modules[0] for group, units in zip(groups, chosen, strict=True) if not units]
    note = f"nothing was removed from {len(spared)} of {len(groups)} groups ({', '.join(spared)})"
    return Pruned(_narrowed(masks, stays), (note,) if spared else (), kept=stays)


def _narrowed(masks: Masks, stays: Kept) -> Masks:
    """Masks of what is left of the parameters once units have gone from them."""
    found = dict(masks)
    for name in masks.keys() & stays.keys():
        for dim, left in stays[name].items():
            found[name] = found[name].index_select(dim, left.nonzero()[:, 0].to(found[name].device))
    return found


def groups_of(model: nn.Module, request: Request) -> list[Group]:
    """The groups that the request selects, of a model that may have been pruned.

    Raises:
        ConfigError: there are none.
    """
    return _selected(model, request)[1]


def _selected(model: nn.Module, request: Request) -> tuple[Removable, list[Group]]:
    from prunebench.pruning.units.removable import find_removable, left_of

    request.check_patterns(model)
    found = request.removable or find_removable(
        model, request.inputs, (request.share(),), through_norms=request.through_norms
    )
    if not found.groups:
        why = "; ".join(f"{', '.join(each.modules[:3])}: {each.reason}" for each in found.spared[:3])
        raise ConfigError(f"There is nothing to prune: no units of this model can be removed ({why or 'it has none'}).")
    if not any(_goes(group, request) for group in found.groups):
        kinds = ", ".join(dict.fromkeys(group.kind for group in found.groups))
        asked = f", or what they make is none of --prune {' --prune '.join(request.kinds)}" if request.kinds else ""
        raise ConfigError(
            f"There is nothing to prune: no group of layers fits --include and --exclude{asked}. There are: {kinds}."
        )
    return found, [group for group in left_of(model, request.inputs, found) if _goes(group, request)]


def _goes(group: Group, request: Request) -> bool:
    asked = not request.kinds or group.kind in request.kinds
    return asked and all(request.selects(module) for module in group.modules)


def reached(model: nn.Module, request: Request) -> list[str]:
    """The weights that go with any unit of any group."""
    names = dict.fromkeys(part.parameter for group in _whole(model, request) for part in group.parts)
    return [name for name in names if _is_weight(model, name)]


def _whole(model: nn.Module, request: Request) -> list[Group]:
    """The selected groups as they were before anything was removed."""
    found, _ = _selected(model, request)
    return [group for group in found.groups if _goes(group, request)]


def choose(model: nn.Module, groups: list[Group], request: Request) -> list[list[int]]:
    """For each group the units to remove, ascending; all are scored on the model as it is, in every round without the
    units of the rounds before."""
    from prunebench.pruning.evidence.gather import evidence_for

    whole = request.removable.groups if request.removable else groups
    original = {group.name: group.units for group in whole}
    least = [_least(group, original, request) for group in groups]
    pools = _pools(groups, original, request)
    chosen: list[list[int]] = [[] for _ in groups]
    due = [0] * len(pools)
    for done in range(1, request.rounds + 1):
        before = due
        due = [_by_round(sum(groups[i].units for i in pool), quota, done / request.rounds) for pool, quota in pools]
        if due == before and request.rounds > 1:
            continue
        with _without(model, groups, chosen):
            scores = _scores(model, groups, replace(request, evidence=evidence_for(model, request)))
        for i, units in enumerate(chosen):
            for unit in units:
                scores[i][unit] = -math.inf  # what has gone stays so
        chosen = [[] for _ in groups]
        for (pool, _), count in zip(pools, due, strict=True):
            ranking = sorted((score, i, unit) for i in pool for unit, score in enumerate(scores[i]))
            for _, i, unit in ranking:
                if sum(len(chosen[j]) for j in pool) < count and groups[i].units - len(chosen[i]) > least[i]:
                    chosen[i].append(unit)
    return [sorted(units) for units in chosen]


def _pools(groups: list[Group], original: Mapping[str, int], request: Request) -> list[tuple[list[int], int]]:
    """The groups that are ranked together, by their places, and how many of their units go."""
    pools: dict[tuple[str, float], list[int]] = {}
    for i, group in enumerate(groups):
        pool = "heads" if group.kind == "heads" else group.name
        pools.setdefault((pool, request.fraction_of(group.modules)), []).append(i)
    return [
        (members, _quota([groups[i] for i in members], original, request, fraction))
        for (_, fraction), members in pools.items()
    ]


def _by_round(units: int, quota: int, done: float) -> int:
    """How many of so many units have gone once a share of the rounds is done, if in the end a quota goes: what is left
    falls by the same factor in each."""
    return quota if done == 1 else units - round(units * ((units - quota) / units) ** done)


@contextlib.contextmanager
def _without(model: nn.Module, groups: list[Group], gone: list[list[int]]) -> Iterator[None]:
    """Within, the weights are zero that go with some units of each group."""
    import torch

    kept: dict[str, torch.Tensor] = {}
    parts = [(part, units) for group, units in zip(groups, gone, strict=True) for part in group.parts if units]
    try:
        with torch.no_grad():
            for part, units in parts:
                if _is_weight(model, part.parameter):
                    weight = model.get_parameter(part.parameter)
                    kept.setdefault(part.parameter, weight.detach().clone())
                    rows = part.index[torch.isin(part.unit, torch.tensor(units))]
                    weight.index_fill_(part.dim, rows.to(weight.device), 0)
        yield
    finally:
        with torch.no_grad():
            for name, values in kept.items():
                model.get_parameter(name).copy_(values)


def _least(group: Group, original: Mapping[str, int], request: Request) -> int:
    """How many units of a group stay whatever is asked for."""
    floor = math.ceil(request.floor * original[group.name] - ROUNDING)
    return max(group.least, -(-floor // _multiple(group, request)) * _multiple(group, request))


def _multiple(group: Group, request: Request) -> int:
    return 1 if group.kind in ("heads", "experts") else request.round_to


def _quota(pool: list[Group], original: Mapping[str, int], request: Request, fraction: float) -> int:
    """How many units go of groups that are ranked together."""
    units = sum(group.units for group in pool)
    if request.round_to == 1:
        return units - left_after(units, fraction, request.leap, 1)
    whole = sum(original[group.name] for group in pool)
    return max(0, units - left_after(whole, fraction, request.step, _multiple(pool[0], request)))


def left_after(units: int, fraction: float, step: int, multiple: int) -> int:
    """Units that are left of `units` after some steps, rounded up to a multiple; all where there are not so many.

    A function of the original number: rounding up what is left in each step would remove nothing, again and again.
    """
    left = units
    for _ in range(step):
        before, left = left, max(1, left - round(fraction * left))
        if left == before:  # and so it stays
            break
    return min(units, -(-left // multiple) * multiple)


def _scores(model: nn.Module, groups: list[Group], request: Request) -> list[list[float]]:
    """Score of every unit: the criterion's own, or its scores summed up over the weights (not biases or norms) that go
    with it."""
    draw = generator(request.seed, "prune")
    if scores_units(request.criterion):
        request.check_units(model, groups)
        return [request.score_units(model, group, draw).tolist() for group in groups]
    known: dict[str, torch.Tensor] = {}
    totals = []
    for group in groups:
        total: torch.Tensor | None = None
        for part in group.parts:
            if not _is_weight(model, part.parameter):
                continue
            if part.parameter not in known:
                known[part.parameter] = request.score(model, part.parameter, draw).float()
            sums = part.sums(known[part.parameter], group.units)
            total = sums if total is None else total + sums
        assert total is not None, "a group holds the weights of at least one layer"
        totals.append(total.tolist())
    return totals


def count(model: nn.Module, masks: Masks, request: Request) -> dict[str, int]:
    """Units that are left of each kind, of the layers that the request selects: heads and neurons as they are, and the
    channels that each convolution makes, those that are spared among them. The output layer is not."""
    from torch import nn

    from prunebench.pruning.units.makers import OUT

    found, groups = _selected(model, request)
    modules, counts = dict(model.named_modules()), dict[str, int]()
    for group in groups:
        kind = kind_of(group)
        counts[kind] = counts.get(kind, 0) + _counts(model, group) * group.units
    for spared in found.spared:
        layers = [modules[name] for name in spared.modules if name in modules and request.selects(name)]
        wide = [layer for layer in layers if isinstance(layer, nn.modules.conv._ConvNd)]
        if "channels" in counts and spared.reason != OUT:
            counts["channels"] += sum(layer.out_channels for layer in wide)
    return counts


def kind_of(group: Group) -> str:
    """What users call the units of a group: heads, experts, channels of convolutions, or neurons."""
    return "channels" if group.kind == "groups" else group.kind


def _per_unit(model: nn.Module, group: Group, module: str) -> int:
    """Channels of one layer that go with each unit."""
    from prunebench.pruning.units.groups import module_of

    own = [part for part in group.parts if module_of(part.parameter) == module and _is_weight(model, part.parameter)]
    makes = [part for part in own if not part.reads] or own  # a depthwise filter reads what it makes
    return max((len(part.index) // group.units for part in makes), default=0)


def prunable(model: nn.Module, request: Request) -> list[str]:
    """The weights of convolutions that units go from; in a model whose convolutions lose none, of linear layers."""
    from torch import nn

    from prunebench.pruning.units.groups import module_of

    names = reached(model, request)
    made = {module for group in _whole(model, request) for module in group.modules}
    is_conv = any(isinstance(model.get_submodule(name), nn.modules.conv._ConvNd) for name in made)
    return [n for n in names if isinstance(model.get_submodule(module_of(n)), nn.modules.conv._ConvNd) == is_conv]


def alone(model: nn.Module, request: Request) -> list[Alone]:
    """Each group by itself, to be pruned by just the fraction: no floor and no rounding."""
    found, groups = _selected(model, request)
    order = {name: i for i, (name, _) in enumerate(model.named_modules(remove_duplicate=False))}
    plain = replace(request, include=(), exclude=(), keeps=(), kinds=(), layer_fractions=(), floor=0.0, round_to=1)
    return [
        Alone(
            group.name,
            kind_of(group),
            _counts(model, group),
            replace(plain, removable=replace(found, groups=(group,), spared=())),
        )
        for group in sorted(groups, key=lambda group: min(order[module] for module in group.modules))
    ]


def _counts(model: nn.Module, group: Group) -> int:
    """For how many each unit of a group counts: channels for those that each convolution makes."""
    return sum(_per_unit(model, group, name) for name in group.modules) if kind_of(group) == "channels" else 1


def _is_weight(model: nn.Module, name: str) -> bool:
    parameter = dict(model.named_parameters()).get(name)
    return parameter is not None and parameter.ndim > 1


methods.add(
    "structured",
    Method(
        "structured",
        "remove whole channels, neurons and attention heads",
        "l2",
        UNITS,
        prune,
        count,
        prunable,
        reached,
        alone=alone,
        narrows=True,
    ),
)
