"""Taken over: what hooks of PyTorch have left in a user's model becomes part of it, to be copied and stored with it.

Masks of torch.nn.utils.prune become masks as pruning makes them, and the module plain. Weights that hooks compute in
every pass, of old weight and spectral norms, are cut off from the graph that made them.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from prunebench.models.masks import Masks

if TYPE_CHECKING:
    import torch
    from torch import nn


CHOICE = "_prunebench_choice"
"""The plain attribute in which a model keeps what is taken of its output (see `outputs`)."""


def take_masks(model: nn.Module) -> Masks:
    """Take the masks of torch.nn.utils.prune off a model: masked weights are zero, and the masks of those that mask
    anything are returned, by name. A parameter that other layers hold without this mask is one of its own from now on.
    """
    import torch
    from torch import nn
    from torch.nn.utils import prune

    found: dict[str, torch.Tensor] = {}
    made: list[tuple[nn.Parameter, torch.Tensor, nn.Parameter]] = []
    for path, module in model.named_modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if not isinstance(hook, prune.BasePruningMethod):
                continue
            name: str = hook._tensor_name
            del module._forward_pre_hooks[key]
            original, mask = module._parameters.pop(f"{name}_orig"), module._buffers.pop(f"{name}_mask")
            assert original is not None
            assert mask is not None
            keep = mask != 0
            plain = next((p for o, m, p in made if o is original and torch.equal(m, keep)), None)
            if plain is None:
                plain = nn.Parameter(original.detach().masked_fill(~keep, 0), original.requires_grad)
                made.append((original, keep, plain))
            module.__dict__.pop(name, None)
            module.register_parameter(name, plain)
            if isinstance(module, nn.RNNBase):
                module._flat_weights = [getattr(module, key) for key in module._flat_weights_names]
            if not keep.all():
                found[f"{path}.{name}" if path else name] = keep
    return found


def told(masks: Masks) -> str:
    """What was done with them, in a sentence."""
    total, left = sum(mask.numel() for mask in masks.values()), sum(int(mask.sum()) for mask in masks.values())
    return f"{len(masks)} masks of torch.nn.utils.prune: {total - left:,} of {total:,} weights are masked, and stay so"


def copied(model: nn.Module) -> nn.Module:
    """A copy of a model, also where hooks have computed weights: no leaves of a graph, which alone can be copied."""
    found = copy.deepcopy(model, dict(_computed(model)))
    if CHOICE in model.__dict__:  # graphs of torch.fx copy no attributes but their own
        found.__dict__[CHOICE] = model.__dict__[CHOICE]
    return found


def cut_off(model: nn.Module) -> None:
    """Take what hooks have computed out of the graph that computed it."""
    values = dict(_computed(model))
    for module in model.modules():
        for name, value in vars(module).items():
            if id(value) in values:
                module.__dict__[name] = values[id(value)]


def _computed(model: nn.Module) -> list[tuple[int, Any]]:
    """Tensors that modules hold as plain attributes and that have a graph: their number → the same without."""
    import torch

    return [
        (id(value), value.detach())
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    ]
