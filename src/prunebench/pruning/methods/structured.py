"""Structured pruning: channels, neurons and attention heads are really removed (Li et al. 2017; Fang et al. 2023).

Which units hang together is found elsewhere (`groups`); here they are scored, ranked and removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.pruning.registry import Method, Pruned, Request, methods
from prunebench.seeding import generator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.pruning.groups import Group


UNITS = {"images": "channels", "text": "heads and neurons", None: "units"}


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Remove `round(fraction × units left)` units of every group, never the last one; parameters are replaced.

    Groups that are ranked together share one quota, and each keeps at least one unit. With `round_to`, as many go as
    leave what `left_after` says of the original units; heads are not rounded.

    Raises:
        ConfigError: the model has masked weights, or no layer that could be pruned.
    """
    if masks:
        raise ConfigError(
            "The model has masked weights; structured pruning starts from a model without masks. Unstructured pruning "
            "goes on from them."
        )
    groups, notes = groups_of(model, request)
    chosen = choose(model, groups, request)
    for group, doomed in zip(groups, chosen, strict=True):
        if doomed:
            group.remove(doomed)
    if spared := [group.modules[0] for group, doomed in zip(groups, chosen, strict=True) if not doomed]:
        notes += (f"nothing was removed from {len(spared)} of {len(groups)} groups ({', '.join(spared)})",)
    return Pruned({}, notes)


def groups_of(model: nn.Module, request: Request) -> tuple[list[Group], tuple[str, ...]]:
    """The groups of a model that the request selects, and remarks on what is spared.

    Raises:
        ConfigError: there are none.
    """
    from prunebench.pruning.groups import attention, channels

    groups, notes = attention.groups_of(model), tuple[str, ...]()
    if not groups:
        groups, notes = channels.groups_of(model, request.inputs)
    request.check_patterns(model)
    groups = [group for group in groups if all(request.selects(module) for module in group.modules)]
    if not groups:
        raise ConfigError("There is nothing to prune: no group of layers fits --include and --exclude.")
    return groups, notes


def reached(model: nn.Module, request: Request) -> list[str]:
    """The weights that go with any unit of any group."""
    groups, _ = groups_of(model, request)
    names = dict.fromkeys(part.parameter for group in groups for part in group.slices)
    return [name for name in names if model.get_parameter(name).ndim > 1]


def choose(model: nn.Module, groups: list[Group], request: Request) -> list[list[int]]:
    """For each group the units to remove, ascending; all are scored on the model as it is."""
    scores = _scores(model, groups, request)
    pools: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        pools.setdefault(group.ranked_with or f"group {i}", []).append(i)
    chosen: list[list[int]] = [[] for _ in groups]
    for pool in pools.values():
        quota = _quota(model, [groups[i] for i in pool], request)
        ranking = sorted((score, i, unit) for i in pool for unit, score in enumerate(scores[i]))
        for _, i, unit in ranking:
            if quota > 0 and len(chosen[i]) < groups[i].units - 1:
                chosen[i].append(unit)
                quota -= 1
    return [sorted(units) for units in chosen]


def _quota(model: nn.Module, pool: list[Group], request: Request) -> int:
    """How many units go of groups that are ranked together."""
    units = sum(group.units for group in pool)
    if request.round_to == 1:
        return units - left_after(units, request.fraction, request.leap, 1)
    original = 0
    for group in pool:
        rows = len(model.get_submodule(group.modules[0]).get_parameter("weight"))
        original += group.units * request.sizes.get(group.modules[0], rows) // rows  # a head has several rows
    multiple = 1 if pool[0].kind == "heads" else request.round_to
    return max(0, units - left_after(original, request.fraction, request.step, multiple))


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
    """Score of every unit: the criterion's scores summed up over the weights (not biases or norms) that go with it."""
    draw = generator(request.seed, "prune")
    known: dict[str, torch.Tensor] = {}
    totals = []
    for group in groups:
        total: torch.Tensor | None = None
        for part in group.slices:
            if model.get_parameter(part.parameter).ndim < 2:
                continue
            if part.parameter not in known:
                known[part.parameter] = request.score(model, part.parameter, draw).float()
            sums = part.sums(known[part.parameter], group.units)
            total = sums if total is None else total + sums
        assert total is not None, "a group holds the weights of at least one layer"
        totals.append(total.tolist())
    return totals


def count(model: nn.Module, masks: Masks, request: Request) -> dict[str, int]:
    """Output channels of the selected conv layers; for BERT heads and neurons; for plain linear models neurons.

    The output layer is not among them.
    """
    from torch import nn

    from prunebench.pruning.groups import attention, channels

    if encoder := attention.layers(model):
        return {
            "heads": sum(
                layer.attention.self.num_attention_heads
                for name, layer in encoder
                if request.selects(f"{name}.attention.self")
            ),
            "neurons": sum(
                layer.intermediate.dense.out_features
                for name, layer in encoder
                if request.selects(f"{name}.intermediate.dense")
            ),
        }
    spared = channels.output_layer(model, request.inputs)
    found = [model.get_submodule(name.rpartition(".")[0]) for name in channels.prunable(model)]
    names = {module: name for name, module in model.named_modules()}
    selected = [module for module in found if module is not spared and request.selects(names[module])]
    is_conv = any(isinstance(module, nn.Conv2d) for module in selected)
    return {"channels" if is_conv else "neurons": sum(len(module.get_parameter("weight")) for module in selected)}


def prunable(model: nn.Module) -> list[str]:
    """Names of the conv weights; for BERT of the encoder's linear weights; else of all linear weights."""
    from prunebench.pruning.groups import attention, channels

    return attention.prunable(model) or channels.prunable(model)


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
        lowers_macs=True,
    ),
)
