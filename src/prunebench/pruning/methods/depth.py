"""Depth pruning: whole residual blocks go, and what they are given is handed on (Men et al. 2024, ShortGPT; Huang et
al. 2016 leave blocks of ResNets out while they train).

What is a block is found and proved elsewhere (`blocks`); here blocks are scored, ranked and removed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.models.masks import Masks
from prunebench.pruning.registry import Method, Pruned, Request, methods
from prunebench.records import RemovedBlock
from prunebench.registry import call, parameters
from prunebench.seeding import generator

if TYPE_CHECKING:
    from torch import nn

    from prunebench.pruning.blocks.find import Block
    from prunebench.pruning.blocks.proof import Blocks


UNITS = dict.fromkeys(("images", "text", None), "blocks")


def prune(model: nn.Module, masks: Masks, request: Request) -> Pruned:
    """Remove `round(fraction × blocks left)` blocks, at least one, or as many as a target says; never the last one.

    Those go that score lowest; all are scored on the model as it is before any goes, and of equal ones the first goes.
    Masks stay on what is left.

    Raises:
        ConfigError: the model has no blocks that could go, or a criterion's scores cannot be ranked.
    """
    from prunebench.pruning.blocks.proof import take

    blocks = left_of(model, request)
    going = _going(model, blocks, request)
    if not going:
        why = "one block is left, which stays" if len(blocks) == 1 else "too few blocks for this share"
        return Pruned(masks, (f"nothing was removed: {why}",))
    scores = _scores(model, blocks, request)
    order = sorted(range(len(blocks)), key=lambda i: (scores[i], i))[:going]
    take(model, request.inputs, [blocks[i] for i in sorted(order)])
    there = {name for name, _ in model.named_parameters()}
    removed = tuple(RemovedBlock(blocks[i].name, scores[i]) for i in order)
    return Pruned({name: mask for name, mask in masks.items() if name in there}, (), removed)


def _going(model: nn.Module, blocks: list[Block], request: Request) -> int:
    """How many of the blocks that are left go."""
    if request.gone is None:
        return len(blocks) - left_after(len(blocks), request.fraction, request.leap)
    whole = len(_selected(model, request))
    return max(0, len(blocks) - max(1, whole - round(request.gone * whole)))


def left_after(blocks: int, fraction: float, steps: int = 1) -> int:
    """How many of some blocks are left after so many steps: each takes one at least, and one stays."""
    for _ in range(steps):
        blocks = max(min(blocks, 1), blocks - max(1, round(fraction * blocks)))
    return blocks


def left_of(model: nn.Module, request: Request) -> list[Block]:
    """The blocks that the request selects and the model still has, in its order.

    Raises:
        ConfigError: there were none to begin with.
    """
    from prunebench.models.passing import is_passing

    return [block for block in _selected(model, request) if not is_passing(model.get_submodule(block.name))]


def _selected(model: nn.Module, request: Request) -> list[Block]:
    """The blocks of the unpruned model that the request selects.

    Raises:
        ConfigError: there are none.
    """
    request.check_patterns(model)
    found = _found(model, request)
    if not found.blocks:
        why = "; ".join(f"{', '.join(each.modules[:3])}: {each.reason}" for each in found.spared[:3])
        raise ConfigError(
            f"There is nothing to prune: no residual block of this model can be left out "
            f"({why or 'it has none'}). --method structured removes channels, neurons and heads."
        )
    if found.problem:
        raise ConfigError(f"Blocks of this model can go one by one, and not together: {found.problem}.")
    chosen = [block for block in found.blocks if request.selects(block.name)]
    if not chosen:
        names = ", ".join(block.name for block in found.blocks[:6])
        raise ConfigError(f"There is nothing to prune: no block fits --include and --exclude. There are: {names}.")
    return chosen


def _found(model: nn.Module, request: Request) -> Blocks:
    from prunebench.pruning.blocks.proof import find_removable_blocks

    return request.blocks or find_removable_blocks(model, request.inputs)


def _scores(model: nn.Module, blocks: list[Block], request: Request) -> list[float]:
    """The criterion's score of every block.

    Raises:
        ConfigError: one is no number.
    """
    from prunebench.pruning.blocks.influence import influences

    asked = "influence" in parameters(request.criterion) and request.task is not None
    known = influences(model, [block.name for block in blocks], request.task) if asked and request.task else {}
    draw = generator(request.seed, "prune")
    scores = []
    for block in blocks:
        offered = {
            "block": model.get_submodule(block.name),
            "name": block.name,
            "influence": known.get(block.name, 0.0),
            "model": model,
            "task": request.task,
            "generator": draw,
        }
        score = call(request.criterion, offered)
        try:
            number = float(score)
        except (TypeError, ValueError, RuntimeError):  # a tensor of several values is none
            number = float("nan")
        if math.isnan(number):
            raise ConfigError(f"The criterion scored block {block.name} with {score!r:.60}; it must return a number.")
        scores.append(number)
    return scores


def count(model: nn.Module, masks: Masks, request: Request) -> dict[str, int]:
    """Blocks that are left, of those that the request selects."""
    return {"blocks": len(left_of(model, request))}


def reached(model: nn.Module, request: Request) -> list[str]:
    """The weights in the blocks of the unpruned model that the request selects."""
    from prunebench.pruning.multiplied import find_weights

    names = (request.weights or find_weights(model, request.inputs)).names
    inside = tuple(f"{block.name}." for block in _selected(model, request))
    return [name for name in names if name.startswith(inside)]


methods.add(
    "depth",
    Method(
        "depth",
        "remove whole residual blocks",
        "influence",
        UNITS,
        prune,
        count,
        reached,
        reached,
        shortens=True,
        widths_from_scores=True,
    ),
)
