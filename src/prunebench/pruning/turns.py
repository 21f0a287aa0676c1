"""Turns: tensors that are pruned one after the other, in the order in which the model uses them, each by what it reads
once those before it are pruned, as pruning without training has it (Frantar and Alistarh 2023; Sun et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.pruning.evidence import OF_INPUTS
from prunebench.pruning.granularity import Pattern
from prunebench.pruning.registry import Request, needs, solves
from prunebench.pruning.shares import of_weights, scopes, whole
from prunebench.registry import call

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.evidence.gram import Part
    from prunebench.pruning.ranking import Shapes


def in_turn(criterion: Callable[..., Any], scope: str | None, *, untrained: bool) -> bool:
    """Whether tensors are pruned one after the other: by a criterion that solves always; by one that asks for what
    weights read where no training follows that would make up for it, and it is known how many go of each tensor.

    Gradients are no reason: they tell of the whole model, and not of what a layer reads.
    """
    if solves(criterion):
        return True
    reads = not set(OF_INPUTS).isdisjoint(needs(criterion))
    return untrained and reads and of_weights(scope).spread is not None


def check_solving(criterion: Callable[..., Any], scope: str | None, pattern: Pattern | None) -> None:
    """Raise ConfigError where a criterion solves tensor by tensor, and what goes of each is not known or is no choice
    of single weights."""
    if not solves(criterion):
        return
    if pattern is not None and not pattern.of:
        raise ConfigError(
            f"The criterion solves for single weights, and --pattern {pattern.name} takes blocks: leave it out, or "
            f"give N:M, such as 2:4."
        )
    found = of_weights(scope)
    if pattern is None and (found.spread is None or found.in_rows):
        fit = [name for name, each in ((n, scopes.get(n)) for n in scopes.names()) if each.spread and not each.in_rows]
        raise ConfigError(
            f"The criterion solves layer by layer, and --scope {scope} ranks weights otherwise: give one of "
            f"{', '.join(fit)}."
        )


def pruned_in_turn(
    model: nn.Module, masks: Masks, going: Mapping[str, int], request: Request, *, shapes: Shapes, draw: torch.Generator
) -> Iterator[tuple[str, torch.Tensor, int]]:
    """Prune tensors of a model in place, of each as many weights as go; yields name, mask, and how many more would have
    had to go.

    Raises:
        ConfigError: what a tensor reads cannot be told.
    """
    import torch

    from prunebench.pruning.evidence.gather import evidence_for, order_for
    from prunebench.pruning.ranking import without_lowest

    for name in order_for(model, request, list(going)) if len(going) > 1 else going:
        short = 0
        if solves(request.criterion):
            mask = solved(model, name, masks[name], going[name], request, draw=draw)
        else:
            told = replace(request, evidence=evidence_for(model, request, (name,)))
            found = without_lowest(model, {name: masks[name]}, going[name], told, shapes=shapes, draw=draw)
            mask, short = found.masks.get(name, masks[name]), found.short
        with torch.no_grad():
            model.get_parameter(name).mul_(mask)
        yield name, mask, short


def solved(
    model: nn.Module, name: str, mask: torch.Tensor, going: int, request: Request, *, draw: torch.Generator
) -> torch.Tensor:
    """The new mask of a tensor by a criterion that solves, which the model's weights then are those of.

    Raises:
        ConfigError: what the tensor reads cannot be told, or the criterion returns what it must not.
    """
    import torch

    from prunebench.pruning.evidence.gather import gram_for

    parameter = model.get_parameter(name)
    gram = gram_for(model, request, name)
    weights, left = gram.split(parameter, parameter.detach()), gram.split(parameter, mask)
    shares = {str(i): going * int(part.sum()) / max(1, int(mask.sum())) for i, part in enumerate(left)}
    besides = {"name": name, "model": model, "task": request.task, "generator": draw, "pattern": request.pattern}
    masks, values = [], []
    for part, weight, own, count in zip(gram.parts, weights, left, whole(shares).values(), strict=True):
        offered = besides | {"going": count}
        stay, new = _solved_part(part, weight, own, request, offered)
        masks.append(stay)
        values.append(new)
    with torch.no_grad():
        parameter.copy_(gram.joined(parameter, values))
    return gram.joined(parameter, masks)


def _solved_part(
    part: Part, weight: torch.Tensor, left: torch.Tensor, request: Request, offered: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a criterion makes of a part: which weights stay, and their values. Where N of M stay, inputs of the same
    place of a kernel stand side by side."""
    import torch

    order = part.by_place() if request.pattern is not None else torch.arange(weight.shape[-1])
    order = order.to(weight.device)
    gram = part.gram[:, order][:, :, order]
    given = {"weight": weight[..., order], "gram": gram, "left": left[..., order]}
    found = call(request.criterion, given | offered)
    name, going = offered["name"], None if request.pattern is not None else offered["going"]
    if not isinstance(found, tuple) or [getattr(each, "shape", None) for each in found] != [weight.shape] * 2:
        raise ConfigError(f"The criterion solved {name} wrongly: it must return two tensors of {tuple(weight.shape)}.")
    mask, values = found
    if mask.dtype != torch.bool or (mask & ~left[..., order]).any() or not torch.isfinite(values).all():
        raise ConfigError(
            f"The criterion solved {name} wrongly: what stays is told as bool, and what has gone does not come back; "
            f"all values are finite."
        )
    if going is not None and int(left.sum()) - int(mask.sum()) != going:
        gone = int(left.sum()) - int(mask.sum())
        raise ConfigError(f"The criterion solved {name} wrongly: {going:,} weights were to go, and {gone:,} did.")
    if request.pattern is not None and not _keeps(mask, left[..., order], request.pattern):
        raise ConfigError(
            f"The criterion solved {name} wrongly: of every {request.pattern.of} columns side by side as many stay as "
            f"--pattern {request.pattern.name} says; have it ask for pattern."
        )
    back = order.argsort()
    return mask[..., back], (values * mask)[..., back]


def _keeps(mask: torch.Tensor, left: torch.Tensor, pattern: Pattern) -> bool:
    """Whether of all columns side by side as many stay as an N:M pattern says, or all that are left."""
    stay, there = (each.unflatten(-1, (-1, pattern.of)).sum(-1) for each in (mask, left))
    return bool((stay == there.clamp(max=round((pattern.left or 0.0) * pattern.of))).all())
