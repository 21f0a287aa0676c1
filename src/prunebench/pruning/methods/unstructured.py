"""Unstructured pruning: single weights are masked to zero (Han et al. 2015; Zhu and Gupta 2017).

The masks equal those of `torch.nn.utils.prune` (`global_unstructured`, or `l1_unstructured` per layer), ties
aside; they are found by a threshold, which needs half the memory of the library's ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.models.sharing import distinct, first_names
from prunebench.pruning.registry import Method, Pruned, Request, methods
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn


UNITS = dict.fromkeys(("images", "text", None), "weights")


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Mask `request.fraction` of the weights that are left, and set them to zero in the model.

    With scope "global" all targeted weights are ranked together, else each tensor for itself; the number removed
    is rounded to the nearest weight.
    """
    import torch

    names = targets(model, request)
    new = {name: masks[name] if name in masks else _ones(model.get_parameter(name)) for name in names}
    draw = generator(request.seed, "prune")
    ranked = [names] if request.scope == "global" else [[name] for name in names]
    notes = []
    for together in ranked:
        smaller = _smallest_removed(model, together, new, request, draw)
        new.update(smaller)
        if not smaller:
            notes.append(f"nothing was removed from {', '.join(together)}: too few weights for this fraction")
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).mul_(new[name])
    return Pruned({**masks, **new}, tuple(notes))


def _smallest_removed(
    model: nn.Module, names: Sequence[str], masks: Masks, request: Request, draw: torch.Generator
) -> dict[str, torch.Tensor]:
    """The masks of some tensors, ranked together, without the fraction of their weights that scores lowest."""
    import numpy as np
    import torch

    sizes = [masks[name].numel() for name in names]
    scores = torch.empty(sum(sizes), device=model.get_parameter(names[0]).device)
    left = 0
    for name, part in zip(names, scores.split(sizes), strict=True):
        part.copy_(request.score(model, name, draw).flatten()).clamp_(min=torch.finfo(part.dtype).min)
        part.masked_fill_(~masks[name].flatten(), -torch.inf)  # pruned weights rank below all others, and stay so
        left += int(masks[name].sum())
    remove = len(scores) - left + round(request.fraction * left)
    if remove == len(scores) - left:
        return {}
    # NumPy's selection needs one copy of the scores; torch.kthvalue one of their indices too, and ten times as long.
    threshold = float(np.partition(scores.cpu().numpy(), remove - 1)[remove - 1])
    ties = remove - int((scores < threshold).sum())
    kept = scores > threshold
    kept[(scores == threshold).nonzero()[ties:]] = True  # of equal scores, the first go
    return {name: part.view(masks[name].shape).clone() for name, part in zip(names, kept.split(sizes), strict=True)}


def targets(model: nn.Module, request: Request) -> list[str]:
    """First names of the parameters that are pruned: conv and linear weights, or every leaf layer's parameters.

    One that several layers hold is pruned where one of them is selected, and none is excluded.

    Raises:
        ConfigError: the patterns leave nothing to prune.
    """
    request.check_patterns(model)
    first = first_names(model)
    chosen, spared = dict[str, None](), set[str]()
    for path, module in model.named_modules(remove_duplicate=False):
        own = {name: first[f"{path}.{name}" if path else name] for name, _ in module.named_parameters(recurse=False)}
        if request.selects(path):
            chosen |= dict.fromkeys(own[name] for name in _parameters(module, request.targets))
        elif request.excludes(path):
            spared |= set(own.values())
    if not (names := [name for name in chosen if name not in spared]):
        raise ConfigError("There is nothing to prune: no targeted layer fits --include and --exclude.")
    return names


def _parameters(module: nn.Module, targets: str) -> list[str]:
    from torch import nn

    if targets == "all":
        return [name for name, _ in module.named_parameters(recurse=False)]
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    return ["weight"] if isinstance(module, kinds) and "weight" in module._parameters else []


def count(model: nn.Module, masks: Masks, request: Request) -> dict[str, int]:
    """Targeted weights that are left."""
    names = targets(model, request)
    return {
        "weights": sum(int(masks[name].sum()) if name in masks else model.get_parameter(name).numel() for name in names)
    }


def prunable(model: nn.Module, request: Request) -> list[str]:
    """Names of all conv and linear weights."""
    return distinct(
        model,
        (
            f"{path}.{name}" if path else name
            for path, module in model.named_modules()
            for name in _parameters(module, "weights")
        ),
    )


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
        masks=True,
        widths_from_scores=True,
    ),
)
