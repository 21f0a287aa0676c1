"""Block influence: 1 − cos(what a block is given, what it gives), of the model as it is (Men et al. 2024, ShortGPT).

Of sequences, (samples, positions, channels), the cosine is that of each position's channels, as in the paper, and
padding is left out. Of feature maps it is that of a sample's whole map, since nothing tells which dimension holds the
channels, and a position at which ReLU leaves nothing has no direction. A mean over positions and samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.models.input_spec import output_of
from prunebench.models.passing import first_argument
from prunebench.models.wide import doubled

SAMPLES = 256
"""Training samples, a fixed representative subset, that influence is measured on, at most."""

BATCH = 32


def influences(model: nn.Module, names: Sequence[str], task: Task) -> dict[str, float]:
    """The influence of each of these blocks, 0 (nothing changes) to 2; the model is left as it was.

    Args:
        names: of blocks.
        task: whose training data it is measured on.
    """
    sums = dict.fromkeys(names, 0.0)
    counts = dict.fromkeys(names, 0)
    masks: list[torch.Tensor | None] = [None]
    given: dict[str, torch.Tensor] = {}
    hooks = []
    for name in names:

        def enter(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
            given[name] = first_argument(module, args, kwargs).clone()

        def leave(module: nn.Module, args: Any, out: Any, name: str = name) -> None:
            made = out[0] if isinstance(out, tuple) else out
            cosines = _cosines(given.pop(name), made, masks[0])
            sums[name] += float((1 - cosines).sum())
            counts[name] += len(cosines)

        block = model.get_submodule(name)
        hooks += [block.register_forward_pre_hook(enter, with_kwargs=True), block.register_forward_hook(leave)]
    training = model.training
    device = next(parameter.device for parameter in model.parameters())
    try:
        with torch.inference_mode():
            for inputs, _ in task.batches("train", task.targets.some("train", SAMPLES).split(BATCH), device):
                masks[0] = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
                output_of(model.eval(), inputs)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return {name: sums[name] / max(1, counts[name]) for name in names}


def _cosines(given: torch.Tensor, made: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """The cosine of every position, or of every map, float64; 1 where both are nothing."""
    pair = [doubled(each) if each.ndim == 3 else doubled(each).flatten(1) for each in (given, made)]
    first, second = (each.flatten(0, -2) for each in pair)
    if mask is not None and given.ndim == 3 and mask.shape == given.shape[:2]:
        read = mask.flatten().bool().to(first.device)
        first, second = first[read], second[read]
    lengths = first.norm(dim=1) * second.norm(dim=1)
    cosines = (first * second).sum(1) / lengths.clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where((first == 0).all(1) & (second == 0).all(1), 1.0, cosines).clamp(-1, 1)
