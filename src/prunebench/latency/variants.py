"""Variants: the models that are timed beside each other, made from an unpruned and a pruned one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

from prunebench.experiment.experiment import Experiment
from prunebench.experiment.findings import once
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.sharing import first_names
from prunebench.models.taken_over import copied
from prunebench.pruning.registry import criteria
from prunebench.pruning.requests import request_of
from prunebench.pruning.units.removable import find_removable
from prunebench.records import VARIANTS

MULTIPLE = 8
"""What the channels of the variant `rounded` are rounded up to: the width that vector units and tensor cores like."""


@dataclass(frozen=True)
class TimedStep:
    """A step to be timed: its nominal share left, its model, and that with channels rounded up, if it differs."""

    step: int
    nominal_left: float
    state: Checkpoint
    rounded: Checkpoint | None = None


def variants(original: Checkpoint, subject: TimedStep) -> dict[str, Checkpoint]:
    """The models that are timed against `original`: masked, pruned, and rounded where there is one."""
    masked = mask_like(copied(original.model), subject.state)
    found = {"masked": replace(original, model=masked), "pruned": subject.state}
    if subject.rounded is not None:
        found["rounded"] = subject.rounded
    assert found.keys() <= VARIANTS.keys()
    return found


def rounded_up(original: Checkpoint, experiment: Experiment, step: int) -> Checkpoint | None:
    """The unpruned model pruned to the widths of a step, rounded up to a multiple of MULTIPLE.

    Which channels stay does not matter to time. None where the method masks, or the run rounds by itself.
    """
    settings, method = experiment.settings, experiment.method
    if not method.narrows or settings.round_to % MULTIPLE == 0 or step == 0:
        return None
    model, inputs = copied(original.model), original.architecture.inputs
    request = request_of(
        settings,
        method,
        inputs,
        experiment.model.keeps,
        criterion=criteria.get("l2").score,
        step=step,
        round_to=MULTIPLE,
        removable=once(
            original.architecture,
            ("removable", (settings.fraction,), settings.through_norms),
            lambda: find_removable(original.model, inputs, (settings.fraction,), through_norms=settings.through_norms),
            original.model,
        ),
    )
    method.prune(model, {}, request)
    return replace(original, model=model.eval())


def mask_like(model: nn.Module, pruned: Checkpoint) -> nn.Module:
    """Put `torch.nn.utils.prune` masks into a copy of the original that zero as much as was pruned; returns it.

    Where channels were removed, as many filters are masked in each layer; which ones does not affect the time. Of
    blocks that were removed all are.
    """
    model.requires_grad_(False)  # a weight computed from a mask can then be copied
    first, kept = first_names(model), dict(pruned.model.named_parameters())
    for path, module in list(model.named_modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            full = first[f"{path}.{name}" if path else name]
            mask = _mask(parameter, kept.get(full), pruned.masks.get(full))
            if mask is not None:
                torch_prune.custom_from_mask(module, name, mask.to(parameter))
    return model


def _mask(original: torch.Tensor, left: torch.Tensor | None, mask: torch.Tensor | None) -> torch.Tensor | None:
    if mask is not None and mask.shape == original.shape:
        return mask
    if left is None:  # it went with its block
        return torch.zeros_like(original) if original.ndim > 1 else None
    if original.ndim < 2 or original.shape[0] == left.shape[0]:
        return None
    filters = torch.zeros_like(original)
    filters[: left.shape[0]] = 1
    return filters


def layers_as_they_were(original: nn.Module, pruned: Checkpoint) -> set[str]:
    """Names of the layers with parameters of their own that pruning has left alone."""
    found, first = set(), first_names(original)
    kept = dict(pruned.model.named_parameters())
    for path, module in original.named_modules():
        own = {first[f"{path}.{name}" if path else name]: p for name, p in module.named_parameters(recurse=False)}
        if own and all(n not in pruned.masks and n in kept and p.shape == kept[n].shape for n, p in own.items()):
            found.add(path)
    return found
