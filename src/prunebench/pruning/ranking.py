"""Ranking: the masks of tensors of weights without those that score lowest by a request's criterion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.layers import layer_name
from prunebench.models.masks import Masks
from prunebench.pruning.matrices import Matrix, matrices, one_row
from prunebench.pruning.registry import Request
from prunebench.pruning.selection import by_pattern, lowest_blocks, lowest_of_rows, lowest_together
from prunebench.pruning.shares import of_weights


@dataclass(frozen=True)
class Shapes:
    """The tensors that are pruned, their matrices where outputs or patterns are asked for, and what is spared."""

    names: list[str]
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def shapes_of(model: nn.Module, names: list[str], request: Request) -> Shapes:
    """What of some tensors is pruned. Patterns spare those that they do not divide, and those that are normed, of which
    every slice must keep a weight.

    Raises:
        ConfigError: the pattern fits none of them.
    """
    pattern = request.pattern
    if pattern is None and not of_weights(request.scope).in_rows:
        return Shapes(names)
    found = matrices(model, request.inputs)
    if pattern is None:
        lone = [name for name in names if name not in found]
        note = f"outputs of {', '.join(lone)} cannot be told apart, so all its weights are ranked together"
        rows = {name: one_row(model.get_parameter(name)) for name in lone}
        return Shapes(names, found | rows, (note,) if lone else ())
    assert request.weights is not None
    normed = {name for name, dims in request.weights.names.items() if dims}
    fitting = [n for n in names if n in found and n not in normed and pattern.fits(found[n].inputs)]
    if not fitting:
        raise ConfigError(f"--pattern {pattern.name} fits no weights of this model: {', '.join(names[:6])}.")
    spared = [layer_name(name) for name in names if name not in fitting]
    note = f"pattern {pattern.name} does not fit, and spares, {', '.join(spared)}"
    return Shapes(fitting, found, (note,) if spared else ())


@dataclass(frozen=True)
class Ranked:
    """What a ranking has left.

    Attributes:
        masks: of the tensors that were ranked; empty where nothing goes.
        short: how many more weights would have had to go, were the best of some slices not kept.
        floored: tensors that their scores alone would have left fewer weights than the floor.
    """

    masks: dict[str, torch.Tensor]
    short: int
    floored: tuple[str, ...] = ()


def without_lowest(
    model: nn.Module, masks: Masks, going: int, request: Request, *, shapes: Shapes, draw: torch.Generator
) -> Ranked:
    """Some tensors, ranked together, without as many of their weights as go, those that score lowest.

    Where there are several, each keeps at least `request.floor` of the share that all keep: else the weights of a
    layer that are small beside those of others would all go, and nothing would pass it any more (layer collapse, Tanaka
    et al. 2020, arXiv 2006.05467).
    """
    sizes = [mask.numel() for mask in masks.values()]
    scores = torch.empty(sum(sizes), device=model.get_parameter(next(iter(masks))).device)
    parts = {name: part.view(masks[name].shape) for name, part in zip(masks, scores.split(sizes), strict=True)}
    held = sum(_score(model, name, part, masks, request, draw=draw) for name, part in parts.items())
    left, pattern = sum(int(mask.count_nonzero()) for mask in masks.values()), request.pattern
    if pattern is not None and pattern.stays is not None:
        return Ranked({name: by_pattern(part, shapes.matrices[name], pattern) for name, part in parts.items()}, 0)
    possible = max(0, min(going, left - held))
    if not possible:
        return Ranked({}, going)
    if pattern is None and of_weights(request.scope).in_rows:
        ((name, part),) = parts.items()
        stay = lowest_of_rows(part, shapes.matrices[name], possible)
        return Ranked({name: stay}, going - (left - int(stay.sum())))

    def lowest(names: Sequence[str], going: int) -> dict[str, torch.Tensor]:
        if pattern is not None:
            return lowest_blocks({name: parts[name] for name in names}, shapes.matrices, pattern, going)
        flat = scores if len(names) == len(parts) else parts[names[0]].flatten()
        there = sum(int(masks[name].count_nonzero()) for name in names)
        stay = lowest_together(flat, len(flat) - there + going).split([masks[name].numel() for name in names])
        return {name: part.view(masks[name].shape) for name, part in zip(names, stay, strict=True)}

    staying, floored = lowest(list(parts), possible), set[str]()
    share = request.floor * (left - possible) / len(scores) if len(parts) > 1 else 0.0
    while below := [name for name, stay in staying.items() if int(stay.sum()) < int(share * stay.numel())]:
        if floored.issuperset(below):  # fewer were left of them before
            break
        for name in below:
            there = int(masks[name].count_nonzero())
            best = lowest([name], max(0, there - int(share * masks[name].numel())))[name]
            parts[name][best & masks[name]] = torch.inf
        floored.update(below)
        possible = min(possible, left - sum(int((part == torch.inf).sum()) for part in parts.values()))
        staying = lowest(list(parts), possible)
    short = 0 if pattern is not None else going - possible
    return Ranked({name: stay.clone() for name, stay in staying.items()}, short, tuple(sorted(floored)))


def _score(
    model: nn.Module, name: str, scores: torch.Tensor, masks: Masks, request: Request, *, draw: torch.Generator
) -> int:
    """Write the scores of a tensor into `scores`: −inf where a weight has gone, +inf where it must stay; returns how
    many must of those that are there."""
    assert request.weights is not None
    kept = request.weights.names.get(name, ())
    scores.copy_(request.score(model, name, draw)).clamp_(min=torch.finfo(scores.dtype).min)
    if not masks[name].all():  # pruned weights rank below all others, and stay so
        torch.minimum(scores, (masks[name].to(scores.dtype) - 0.5) * torch.inf, out=scores)  # masked_fill_, 5 × as fast
    if kept:
        scores.clamp_(max=torch.finfo(scores.dtype).max)
    return sum(_hold(scores, dim) for dim in kept)


def _hold(scores: torch.Tensor, dim: int | None) -> int:
    """Rank the best weight of every slice along a dimension, or of all, above the others; how many were not so yet."""
    slices = [scores] if dim is None else scores.unbind(dim)
    count = 0
    for part in slices:
        best = part.max()
        if -torch.inf < best < torch.inf:
            part[tuple((part == best).nonzero()[0])] = torch.inf
            count += 1
    return count
