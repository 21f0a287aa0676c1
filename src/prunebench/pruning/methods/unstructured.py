"""Unstructured pruning: single weights are masked to zero (Han et al. 2015; Zhu and Gupta 2017).

What counts as weight is what is multiplied with data (`multiplied`). The masks equal those of `torch.nn.utils.prune`
(`global_unstructured`, or `l1_unstructured` per layer), ties aside; they are found by a threshold, which needs half the
memory of the library's ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.layers import layer_name
from prunebench.models.masks import Masks
from prunebench.models.sharing import first_names
from prunebench.pruning.registry import Alone, Method, Pruned, Request, matches, methods
from prunebench.pruning.shares import scopes
from prunebench.registry import call
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.multiplied import Weights


UNITS = dict.fromkeys(("images", "text", None), "weights")


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Mask `request.fraction` of the weights that are left, and set them to zero in the model.

    With scope "global" all targeted weights are ranked together, else each tensor for itself, of which as many go as
    the scope says; the number removed is rounded to the nearest weight. Of a weight norm's direction every slice keeps
    its last weight.
    """
    import torch

    from prunebench.pruning.evidence.gather import evidence_for

    request = replace(request, weights=_weights(model, request), evidence=evidence_for(model, request))
    names = targets(model, request)
    new = {name: masks[name] if name in masks else _ones(model.get_parameter(name)) for name in names}
    draw = generator(request.seed, "prune")
    notes: list[str] = []
    spared: list[str] = []
    for together, asked in _asked(model, names, new, request):
        usual = round(request.fraction * sum(int(new[name].sum()) for name in together))
        smaller, short = _smallest_removed(model, together, asked, new, request, draw=draw)
        new.update(smaller)
        if short:
            notes.append(f"{short:,} weights fewer than asked were removed: of what is normed, each slice keeps one")
        elif not smaller and usual:
            spared += together
        elif not smaller:
            notes.append(f"nothing was removed from {', '.join(together)}: too few weights for this fraction")
    if spared:
        notes.append(f"scope {request.scope} takes nothing of {', '.join(spared)}")
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).mul_(new[name])
    return Pruned({**masks, **new}, tuple(notes))


def _asked(model: nn.Module, names: list[str], masks: Masks, request: Request) -> list[tuple[Sequence[str], int]]:
    """Tensors that are ranked together, and how many of their weights go."""
    left = {name: int(masks[name].sum()) for name in names}
    going = round(request.fraction * sum(left.values()))
    spread = scopes.get(request.scope).spread
    if spread is None:
        return [(names, going)]
    weights = {name: model.get_parameter(name).detach() for name in names}
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    about = {"left": left, "going": going, "fraction": request.fraction, "masks": masks}
    each = call(spread, {"shapes": shapes, "weights": weights, **about})
    return [([name], each[name]) for name in names]


def _smallest_removed(
    model: nn.Module,
    names: Sequence[str],
    asked: int,
    masks: Masks,
    request: Request,
    *,
    draw: torch.Generator,
) -> tuple[dict[str, torch.Tensor], int]:
    """The masks of some tensors, ranked together, without as many of their weights as are asked for, those that score
    lowest; and how many more would have to go, were the best weights of some slices not kept."""
    import numpy as np
    import torch

    sizes = [masks[name].numel() for name in names]
    scores = torch.empty(sum(sizes), device=model.get_parameter(names[0]).device)
    kept, left, held = _weights(model, request).names, 0, 0
    for name, part in zip(names, scores.split(sizes), strict=True):
        part.copy_(request.score(model, name, draw).flatten()).clamp_(min=torch.finfo(part.dtype).min)
        part.masked_fill_(~masks[name].flatten(), -torch.inf)  # pruned weights rank below all others, and stay so
        left += int(masks[name].sum())
        if kept.get(name):
            part.clamp_(max=torch.finfo(part.dtype).max)
        for dim in kept.get(name, ()):
            held += _hold(part.view(masks[name].shape), dim)
    remove = len(scores) - left + min(asked, left - held)
    short = asked - min(asked, left - held)
    if remove == len(scores) - left:
        return {}, short
    # NumPy's selection needs one copy of the scores; torch.kthvalue one of their indices too, and ten times as long.
    threshold = float(np.partition(scores.cpu().numpy(), remove - 1)[remove - 1])
    ties = remove - int((scores < threshold).sum())
    stay = scores > threshold
    stay[(scores == threshold).nonzero()[ties:]] = True  # of equal scores, the first go
    found = zip(names, stay.split(sizes), strict=True)
    return {name: part.view(masks[name].shape).clone() for name, part in found}, short


def _hold(scores: torch.Tensor, dim: int | None) -> int:
    """Rank the best weight of every slice along a dimension, or of all, above the others; how many were not so yet."""
    import torch

    slices = [scores] if dim is None else scores.unbind(dim)
    count = 0
    for part in slices:
        best = part.max()
        if -torch.inf < best < torch.inf:
            part[tuple((part == best).nonzero()[0])] = torch.inf
            count += 1
    return count


def targets(model: nn.Module, request: Request) -> list[str]:
    """First names of the parameters that are pruned: what is multiplied with data, or all that there are.

    One that several layers hold is pruned where one of them is selected, and none is excluded. Look-up tables are where
    a pattern of `include` fits no weights. What is not zero in the model where it is zero is never.

    Raises:
        ConfigError: the patterns leave nothing to prune.
    """
    from prunebench.pruning.multiplied import COMPUTED

    first, found = first_names(model), _weights(model, request)
    request.check_patterns(model, map(_place, first))
    wanted = set(found.names)
    if request.targets == "all":
        wanted = {name for name in first.values() if found.others.get(name) != COMPUTED}
    elif request.include:
        wanted |= _named_tables(first, found, request.include)
    chosen = dict.fromkeys(one for name, one in first.items() if one in wanted and request.selects(_place(name)))
    spared = {one for name, one in first.items() if request.excludes(_place(name))}
    if not (names := [name for name in chosen if name not in spared]):
        why = "" if wanted else " " + _reasons(found)
        raise ConfigError(f"There is nothing to prune: no targeted layer fits --include and --exclude.{why}")
    return names


def _place(parameter: str) -> str:
    """What patterns are matched with: the layer of a weight or a bias, else the parameter's own name."""
    path, _, own = parameter.rpartition(".")
    return path if own == "bias" else layer_name(parameter)


def _named_tables(first: Mapping[str, str], found: Weights, include: Sequence[str]) -> set[str]:
    """First names of the look-up tables that a pattern fits which fits no weights."""
    named = [
        pattern
        for pattern in include
        if not any(one in found.names and matches(_place(name), (pattern,)) for name, one in first.items())
    ]
    return {one for name, one in first.items() if one in found.tables and matches(_place(name), tuple(named))}


def _reasons(found: Weights) -> str:
    """Why parameters of two or more dimensions are no weights, the first few."""
    told = "; ".join(f"{layer_name(name)}: {why}" for name, why in list(found.others.items())[:3])
    return f"Nothing of the model counts as weight ({told or 'it has no parameters of two dimensions'})."


def count(model: nn.Module, masks: Masks, request: Request) -> dict[str, int]:
    """Targeted weights that are left."""
    names = targets(model, request)
    return {
        "weights": sum(int(masks[name].sum()) if name in masks else model.get_parameter(name).numel() for name in names)
    }


def prunable(model: nn.Module, request: Request) -> list[str]:
    """Names of all weights."""
    return list(_weights(model, request).names)


def alone(model: nn.Module, request: Request) -> list[Alone]:
    """Each weight by itself."""
    found = _weights(model, request)
    plain = replace(request, include=(), exclude=(), scope="layerwise", targets="weights")
    return [
        Alone(
            layer_name(name),
            "weights",
            1,
            replace(plain, weights=replace(found, names={name: found.names.get(name, ())}, tables=frozenset())),
        )
        for name in targets(model, request)
    ]


def _weights(model: nn.Module, request: Request) -> Weights:
    from prunebench.pruning.multiplied import find_weights

    return request.weights or find_weights(model, request.inputs)


def _ones(parameter: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.ones(parameter.shape, dtype=torch.bool, device=parameter.device)


methods.add(
    "unstructured",
    Method(
        "unstructured",
        "mask single weights to zero",
        "l1",
        UNITS,
        prune,
        count,
        prunable,
        targets,
        alone=alone,
        masks=True,
        widths_from_scores=True,
    ),
)
