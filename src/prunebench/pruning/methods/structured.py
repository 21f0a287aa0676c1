"""Structured pruning: channels, neurons and attention heads are really removed (Li et al. 2017; Fang et al. 2023).

Which units hang together is found and proved elsewhere (`units`); here they are scored, ranked and removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.pruning.bounds import check_bounds
from prunebench.pruning.budgets import Ranked, unscored
from prunebench.pruning.registry import Alone, Method, Pruned, Request, methods
from prunebench.pruning.rounds import in_rounds
from prunebench.pruning.unit_scores import is_weight

if TYPE_CHECKING:
    from torch import nn

    from prunebench.models.kept import Kept
    from prunebench.pruning.units.groups import Group
    from prunebench.pruning.units.removable import Removable


UNITS = {"images": "channels", "text": "heads and neurons", None: "units"}


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Remove of the groups that are ranked together `round(fraction × units left)` units, those that score least; or as
    many as leave what the request's target says. Parameters are replaced.

    Groups are ranked as the scope says (`shares`): layerwise each for itself, but heads of all layers together. Every
    group keeps a unit at least, or as many as `floor` says. With `round_to`, what is left is a multiple (`budgets`);
    heads are not rounded. Masks stay on what is left.

    Raises:
        ConfigError: the model has nothing that could be removed, or a bound cannot be met.
    """
    from prunebench.pruning.units.removable import take
    from prunebench.pruning.units.removal import staying

    found, groups = _selected(model, request)
    ranking, chosen = in_rounds(model, groups, replace(request, removable=found))
    doomed = {group.name: units for group, units in zip(groups, chosen, strict=True)}
    stays = staying(model, groups, doomed)
    take(model, request.inputs, found, doomed)
    return Pruned(_narrowed(masks, stays), tuple(_notes(ranking, chosen)), kept=stays)


def check(model: nn.Module, request: Request) -> None:
    """Raise ConfigError where the bounds of a request cannot be met, whichever units go."""
    if request.bounded:
        found, groups = _selected(model, request)
        check_bounds(model, unscored(model, groups, replace(request, removable=found)))


def _notes(ranking: Ranked, chosen: list[list[int]]) -> Iterator[str]:
    """What could not be removed."""
    request = ranking.request
    spared = [group.modules[0] for group, units in zip(ranking.groups, chosen, strict=True) if not units]
    if spared:
        yield f"nothing was removed from {len(spared)} of {len(ranking.groups)} groups ({', '.join(spared)})"
    short = 0 if request.bounded else sum(map(ranking.quota, ranking.pools)) - sum(map(len, chosen))
    if short:
        floor = f"at least {100 * request.floor:g} % of its units" if request.floor else "a unit"
        rounded = f", and a multiple of {request.round_to}" if request.round_to > 1 else ""
        yield f"{short:,} units fewer than asked were removed: every group keeps {floor}{rounded}"


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
    return [name for name in names if is_weight(model, name)]


def _whole(model: nn.Module, request: Request) -> list[Group]:
    """The selected groups as they were before anything was removed."""
    found, _ = _selected(model, request)
    return [group for group in found.groups if _goes(group, request)]


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

    own = [part for part in group.parts if module_of(part.parameter) == module and is_weight(model, part.parameter)]
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
    plain = replace(plain, scope=None, group_normalisation="none", by="units", gone=None)
    plain = replace(plain, macs_left=None, params_left=None)
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
        check=check,
        narrows=True,
    ),
)
