"""Policies: how a pruned model recovers; the registry of ways of retraining, and the recipes that they choose from.

A policy consists of functions, which take, by name, those of these arguments that they ask for:

    dense                the recipe of the dense training
    tuned                the recipe of fine-tuning
    rewind_epoch, distil_temperature, distil_weight, bn_samples    the settings; one that is not asked for has no use

`recipe` returns how a pruned model is trained. `start` changes, in place, what training starts from:

    state                the pruned model, on its device, and its masks
    rewound              () → the dense model as it was after `rewind_epoch` epochs of its training
    fresh                () → the unpruned model with fresh weights, another in every step
    batches              (count) → batches of a fixed stratified subset of the training data
    device               where all that is

`loss` returns what is trained, (inputs, output, target) → the mean loss of a batch:

    objective            what is asked of the model (data/task.py)
    teacher              () → the dense model, in evaluation mode
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import msgspec

from prunebench.config import OF_RETRAINING, Settings
from prunebench.registry import Registry, call, parameters
from prunebench.training.optimizers import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.data.task import Objective

Loss = Callable[[Any, "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""What is trained: (inputs, output, target) → the mean loss of a batch."""


@dataclass(frozen=True)
class Policy:
    """A registered way of retraining.

    Attributes:
        summary: what is trained and how, with the paper.
        recipe, start, loss: as the top of this module describes. None: training starts from what pruning has left, and
            the loss is the task's.
        trains: whether a parameter of this name is trained; None: all are.
        tunes: whether it trains by the settings of fine-tuning, where the dense training has so many epochs.
        unfit: (settings) → why it has no meaning for them; empty where it has.
        lacks: (model, objective) → what it needs and they do not have; empty where they have it.
    """

    name: str
    summary: str
    recipe: Callable[..., Recipe]
    start: Callable[..., None] | None = None
    loss: Callable[..., Loss] | None = None
    trains: Callable[[str], bool] | None = None
    tunes: Callable[[int], bool] = lambda epochs: True
    unfit: Callable[[Settings], str] = lambda settings: ""
    lacks: Callable[[nn.Module, Objective], str] = lambda model, objective: ""

    @property
    def uses(self) -> tuple[str, ...]:
        """The settings of its own that it asks for."""
        return tuple(name for name in OF_RETRAINING if self.asks(name))

    def asks(self, name: str) -> bool:
        """Whether any of its functions asks for an argument."""
        return any(name in parameters(each) for each in (self.recipe, self.start, self.loss) if each is not None)

    def recipe_of(self, settings: Settings) -> Recipe:
        """How a pruned model is trained."""
        recipe: Recipe = call(self.recipe, offered(settings))
        return recipe


policies: Registry[Policy] = Registry("way of retraining", "prunebench.training.retraining", None)


def offered(settings: Settings) -> Mapping[str, Any]:
    """What every function of a policy may ask for."""
    own = {name: getattr(settings, name) for name in OF_RETRAINING}
    return {"dense": dense_recipe(settings), "tuned": tuned_recipe(settings), **own}


def dense_recipe(settings: Settings) -> Recipe:
    """How the dense model is trained."""
    own = msgspec.structs.asdict(settings)
    return Recipe(**{field.name: own[field.name] for field in fields(Recipe) if field.name in own})


def tuned_recipe(settings: Settings) -> Recipe:
    """How a pruned model is fine-tuned: all layers, by settings that begin with `finetune_`, else as trained. Where
    pruning is gradual, for as many epochs as lie between two steps."""
    own = msgspec.structs.asdict(settings)
    names = [field.name for field in fields(Recipe)]
    tuned = {name: value for name in names if (value := own.get(f"finetune_{name}")) is not None}
    recipe = replace(dense_recipe(settings), **tuned, freeze=False)
    return recipe if settings.every is None else replace(recipe, epochs=settings.every)


def from_epoch(dense: Recipe, epoch: int) -> Recipe:
    """The dense training from an epoch on to its end: its schedule is that of the whole."""
    return replace(dense, epochs=dense.epochs - epoch, before=epoch)


def up_to_epoch(dense: Recipe, epoch: int) -> Recipe:
    """The dense training up to an epoch: its schedule is that of the whole."""
    return replace(dense, epochs=epoch, after=dense.epochs - epoch)


def untuned(settings: Settings) -> str:
    """Why nothing is trained by the settings of fine-tuning; empty where something is."""
    return "" if settings.finetune_epochs else "it trains for --finetune-epochs, which are 0"


def not_before(settings: Settings) -> str:
    """Why an epoch is none of the dense training that anything could go on from; empty where it is one."""
    if settings.rewind_epoch < settings.epochs:
        return ""
    return f"--rewind-epoch {settings.rewind_epoch} must be less than --epochs, the dense model's {settings.epochs}"
