"""Unstructured pruning: single weights are masked to zero (Han et al. 2015; Zhu and Gupta 2017).

What counts as weight is what is multiplied with data (`multiplied`). The masks equal those of `torch.nn.utils.prune`
(`global_unstructured`, or `l1_unstructured` per layer), ties aside; they are found by a threshold, which needs half the
memory of the library's ranking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.layers import layer_name
from prunebench.models.masks import Masks
from prunebench.models.sharing import first_names
from prunebench.pruning.registry import Alone, Method, Pruned, Request, matches, methods, needs
from prunebench.pruning.shares import of_weights
from prunebench.pruning.turns import check_solving, in_turn, pruned_in_turn
from prunebench.registry import call
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.multiplied import Weights
    from prunebench.pruning.ranking import Ranked, Shapes


UNITS = dict.fromkeys(("images", "text", None), "weights")


@dataclass(frozen=True)
class _Pool:
    """Tensors that are ranked together, how many weights of them there are before the step, and how many go."""

    names: tuple[str, ...]
    left: int
    going: int

    def gone_after(self, done: int, rounds: int) -> int:
        """How many have gone after so many rounds, each of which takes the same share of what is left."""
        if done == rounds or not self.left:
            return self.going
        share: float = (1 - self.going / self.left) ** (done / rounds)
        return self.left - round(self.left * share)


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Mask `request.fraction` of the weights that are left, or as many as a target says, and set them to zero in the
    model.

    With scope "global" all targeted weights are ranked together, else each tensor for itself, of which as many go as
    the scope says. The number removed is rounded to the nearest weight; to the nearest block of a pattern of blocks. Of
    a weight norm's direction every slice keeps its last weight.

    Raises:
        ConfigError: there is nothing to prune, or what the criterion asks for cannot be told.
    """
    from prunebench.pruning.evidence.gather import evidence_for
    from prunebench.pruning.ranking import shapes_of

    request = replace(request, weights=_weights(model, request))
    check_solving(request.criterion, request.scope, request.pattern)
    shapes = shapes_of(model, targets(model, request), request)
    new = {name: masks[name] if name in masks else _ones(model.get_parameter(name)) for name in shapes.names}
    turns = in_turn(request.criterion, request.scope, untrained=request.untrained and request.rounds == 1)
    spread = of_weights(request.scope).spread
    beforehand = not turns or (spread is not None and needs(spread))
    told = replace(request, evidence=evidence_for(model, request)) if beforehand else request
    pools = _pools(model, new, told)
    found = _in_turn(model, new, pools, request, shapes) if turns else _together(model, new, pools, told, shapes)
    return Pruned({**masks, **found.masks}, (*shapes.notes, *_notes(pools, found, request)))


def check(model: nn.Module, request: Request) -> None:
    """Raise ConfigError where the scope of a request cannot take as much as is gone after its step."""
    from prunebench.pruning.evidence.gather import evidence_for
    from prunebench.pruning.ranking import shapes_of

    if of_weights(request.scope).spread is None:
        return
    request = replace(request, weights=_weights(model, request), criterion=lambda weight: weight)
    gone = 1 - (1 - request.fraction) ** request.step if request.gone is None else request.gone
    names = shapes_of(model, targets(model, request), request).names
    told = replace(request, gone=gone, evidence=evidence_for(model, request))
    _pools(model, {name: _ones(model.get_parameter(name)) for name in names}, told)


def _together(model: nn.Module, masks: Masks, pools: Sequence[_Pool], request: Request, shapes: Shapes) -> Ranked:
    """Prune pools by what the criterion asks for of the model as it is in each round, which the request has of the
    first one; what is left of all."""
    import torch

    from prunebench.pruning.evidence.gather import evidence_for
    from prunebench.pruning.ranking import Ranked, without_lowest

    new, short, floored, draw = dict(masks), 0, dict[str, None](), generator(request.seed, "prune")
    for done in range(1, request.rounds + 1):
        if done > 1:
            request = replace(request, evidence=None)
            request = replace(request, evidence=evidence_for(model, request))
        smaller: dict[str, torch.Tensor] = {}
        for pool in pools:
            going = pool.gone_after(done, request.rounds) - (pool.left - _count(new, pool.names))
            of_pool = {name: new[name] for name in pool.names}
            found = without_lowest(model, of_pool, going, request, shapes=shapes, draw=draw)
            smaller, short = smaller | found.masks, short + found.short * (done == request.rounds)
            floored |= dict.fromkeys(found.floored)
        new |= smaller
        with torch.no_grad():
            for name in new:
                parameter = model.get_parameter(name)
                parameter.mul_(new[name].to(parameter.dtype))  # by bool it takes four times as long
    return Ranked(new, short, tuple(floored))


def _in_turn(model: nn.Module, masks: Masks, pools: Sequence[_Pool], request: Request, shapes: Shapes) -> Ranked:
    """Prune tensor by tensor, each by what it reads once those before it are pruned."""
    from prunebench.pruning.ranking import Ranked

    going = {name: pool.going for pool in pools for name in pool.names}  # of several a pattern decides how many
    draw = generator(request.seed, "prune")
    found = list(pruned_in_turn(model, masks, going, request, shapes=shapes, draw=draw))
    return Ranked({**masks, **{name: mask for name, mask, _ in found}}, sum(short for *_, short in found))


def _notes(pools: Sequence[_Pool], found: Ranked, request: Request) -> Iterator[str]:
    """Remarks on what was not removed."""
    masks, short = found.masks, found.short
    for name in found.floored:
        share = f"{100 * _count(masks, [name]) / masks[name].numel():.2g} %"
        yield f"{name} keeps {share} of its weights by --floor {request.floor:g}: by their scores fewer would stay"
    if short:
        yield f"{short:,} weights fewer than asked were removed: of what is normed, each slice keeps one"
    whole = [pool for pool in pools if _count(masks, pool.names) == pool.left and not short]
    spared = [name for pool in whole if round(request.fraction * pool.left) and not pool.going for name in pool.names]
    for pool in whole:
        if not set(spared) & set(pool.names):
            yield f"nothing was removed from {', '.join(pool.names)}: too few weights for this fraction"
    if spared:
        yield f"scope {request.scope} takes nothing of {', '.join(spared)}"


def _count(masks: Masks, names: Sequence[str]) -> int:
    return sum(int(masks[name].count_nonzero()) for name in names)


def _pools(model: nn.Module, masks: Masks, request: Request) -> list[_Pool]:
    """What is ranked together, and how many weights go of it."""
    names = list(masks)
    left = {name: int(masks[name].count_nonzero()) for name in names}
    sizes = {name: masks[name].numel() for name in names}
    going = round(request.fraction * sum(left.values()))
    if request.gone is not None:
        going = max(0, sum(left.values()) - sum(sizes.values()) + round(request.gone * sum(sizes.values())))
    spread = of_weights(request.scope).spread
    if spread is None:
        return [_Pool(tuple(names), sum(left.values()), going)]
    weights = {name: model.get_parameter(name).detach() for name in names}
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    about = {"left": left, "sizes": sizes, "going": going, "fraction": request.fraction, "gone": request.gone}
    found = request.evidence or {}
    told = {"input_norms": found.get("input_norm"), "gradients": found.get("gradient")}
    each = call(spread, {"shapes": shapes, "weights": weights, "masks": masks, **about, **told})
    return [_Pool((name,), left[name], each[name]) for name in names]


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
    whole = [model.get_parameter(name).numel() for name in names if name not in masks]
    return {"weights": sum(whole) + _count(masks, [name for name in names if name in masks])}


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
        check=check,
        masks=True,
        widths_from_scores=True,
    ),
)
