"""How to train: the recipe, the optimizer that it asks for, and its learning rate by the share of batches done."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

RISE = 0.04
"""Share of the learning rate that a warm-up begins with."""


@dataclass(frozen=True)
class Recipe:
    """How to train: the fields of RunConfig of the same names, for one phase.

    Of a part of a longer training, `before` and `after` are the epochs of its schedule that come before and after.
    `updates` are the fewest batches that it is trained on: `over` the data, more epochs where one has fewer.
    """

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
    warmup: float = 0.0
    before: int = 0
    after: int = 0
    updates: int = 0

    def over(self, samples: int) -> Recipe:
        """The recipe for so many training samples: of as many epochs as its updates take; where there are any."""
        epochs = math.ceil(self.updates / math.ceil(samples / self.batch_size)) if self.epochs else 0
        return replace(self, epochs=max(self.epochs, epochs), updates=0)

    def done(self, epoch: int, batch: int, batches: int) -> float:
        """The share of the schedule that is over before a zero-based batch of so many in a zero-based epoch."""
        return ((self.before + epoch) * batches + batch) / ((self.before + self.epochs + self.after) * batches)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """A new optimizer over the parameters that are not frozen; fused where the device has it.

    In fp16 SGD is not: where the first step is skipped, as its gradients overflow, PyTorch's fused kernels take what
    lies in memory for the momentum (seen of PyTorch 2.14 on a CPU).
    """
    import torch

    from prunebench.training.dense_adam import DenseAdam, DenseAdamW

    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = parameters[0].device.type in ("cpu", "cuda")
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        fused = fused and recipe.dtype != "fp16"
        return torch.optim.SGD(parameters, recipe.lr, momentum=recipe.momentum, weight_decay=decay, fused=fused)
    kind = DenseAdam if recipe.optimizer == "adam" else DenseAdamW
    return kind(parameters, recipe.lr, weight_decay=decay, fused=fused)


def set_lr(optimizer: torch.optim.Optimizer, recipe: Recipe, epoch: int, done: float) -> None:
    """Set the learning rate for the share `done` (0 to 1) of all batches of the schedule, in zero-based `epoch` of it.

    one-cycle: linear warm-up over the first quarter, then cosine to zero (Smith and Topin 2017).
    """
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * _factor(recipe, epoch, done)


def _factor(recipe: Recipe, epoch: int, done: float) -> float:
    """The share of the peak learning rate. After a warm-up, cosine falls over the batches that are left."""
    if recipe.schedule == "one-cycle":
        return _warm(done, 0.25) if done < 0.25 else 0.5 * (1 + math.cos(math.pi * (done - 0.25) / 0.75))
    rises = done < recipe.warmup
    left = 0.0 if rises else (done - recipe.warmup) / (1 - recipe.warmup)
    factor = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * left)),
        "exponential": recipe.gamma**epoch,
    }[recipe.schedule]
    return factor * _warm(done, recipe.warmup) if rises else factor


def _warm(done: float, share: float) -> float:
    return RISE + (1 - RISE) * done / share
