"""How to train: the recipe, the optimizer that it asks for, and its learning rate by the share of batches done."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Recipe:
    """How to train: the fields of RunConfig of the same names, for one phase."""

    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    schedule: str
    gamma: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    augment: bool = False
    freeze: bool = False
    dtype: str = "fp32"


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """A new optimizer over the parameters that are not frozen; fused where the device has it."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = parameters[0].device.type in ("cpu", "cuda")
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, recipe.lr, momentum=recipe.momentum, weight_decay=decay, fused=fused)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, recipe.lr, weight_decay=decay, fused=fused)


def set_lr(optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: int, done: float) -> None:
    """Set the learning rate for the share `done` (0 to 1) of all batches, in zero-based `epoch`.

    one-cycle: linear warm-up over the first quarter, then cosine to zero (Smith and Topin 2017).
    """
    factor = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "exponential": recipe.gamma**epoch,
        "one-cycle": 0.04 + 0.96 * done / 0.25 if done < 0.25 else 0.5 * (1 + math.cos(math.pi * (done - 0.25) / 0.75)),
    }[recipe.schedule]
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * factor
