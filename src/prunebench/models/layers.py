"""How large each layer is, now and in the unpruned model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import nn

from prunebench.models.masks import Masks
from prunebench.models.sharing import first_names
from prunebench.records import LayerRecord, UnitCount


def layer_records(
    model: nn.Module, masks: Masks, first: Iterable[LayerRecord], collapsed: Mapping[str, str]
) -> tuple[LayerRecord, ...]:
    """A record per conv and linear layer; of layers that hold the same weight the first stands for all.

    `first` are those of the unpruned model, or none if this is it; `collapsed` is what `collapse.collapsed` found.
    """
    originals = {layer.name: layer.shape_original for layer in first}
    names = first_names(model)
    alike: dict[str, list[str]] = {}  # the first name of a weight → the layers that hold it
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
            weight = f"{name}.weight" if name else "weight"
            alike.setdefault(names.get(weight, weight), []).append(name)
    found = []
    for weight, (name, *others) in alike.items():
        module, mask = model.get_submodule(name), masks.get(weight)
        assert isinstance(module.weight, torch.Tensor)
        shape = tuple(module.weight.shape)
        original = originals.get(name, shape)
        left = int(mask.sum()) if mask is not None else prod(shape)
        how = next((collapsed[layer] for layer in (name, *others) if layer in collapsed), "")
        found.append(LayerRecord(name, type(module).__name__, original, shape, prod(original), left, how))
    return tuple(found)


def prunable_weights(parameters: Iterable[str], layers: Iterable[LayerRecord]) -> tuple[int, int, int]:
    """Weights of the named parameters: in the original, with kept filters × original inputs, and as they are."""
    wanted = {name.rpartition(".")[0] for name in parameters}
    chosen = [layer for layer in layers if layer.name in wanted]
    return (
        sum(layer.weights for layer in chosen),
        sum(layer.shape[0] * prod(layer.shape_original[1:]) for layer in chosen),
        sum(layer.weights_left for layer in chosen),
    )


def unit_count(kind: str, original: int, before: int, left: int) -> UnitCount:
    """The count of one kind of unit, with the fraction that this step achieved."""
    return UnitCount(kind, original, before, left, 1 - left / before if before else 0.0)
