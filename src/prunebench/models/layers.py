"""How large each layer is, now and in the unpruned model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import TYPE_CHECKING

import msgspec

from prunebench.models.masks import Masks
from prunebench.models.sharing import first_names
from prunebench.records import LayerRecord, UnitCount

if TYPE_CHECKING:
    from torch import nn

ZERO = "all weights are zero"
"""How a layer has collapsed of which nothing is left."""


PARAMETRIZED = re.compile(r"(?:(.*)\.)?parametrizations\.(\w+)\.original\d*")
"""The name of what torch's parametrizations compute a parameter of."""


def layer_records(
    model: nn.Module,
    masks: Masks,
    first: Iterable[LayerRecord],
    collapsed: Mapping[str, str],
    weights: Iterable[str],
) -> tuple[LayerRecord, ...]:
    """A record per weight; of layers that hold the same the first stands for all.

    `first` are those of the unpruned model, or none if this is it: what they do not tell of is left out, and what the
    model has no more was removed. `collapsed` is what `collapse.collapsed` found, `weights` are the first names of the
    weights.
    """
    whole = {layer.name: layer for layer in first}
    alike: dict[str, list[str]] = {name: [] for name in weights}
    known = first_names(model)
    for name, one in known.items():
        if one in alike:
            alike[one].append(layer_name(name))
    found = []
    for weight, layers in alike.items():
        if weight not in known:
            found += [_removed(whole[layer_name(weight)])] if layer_name(weight) in whole else []
            continue
        name = next((layer for layer in layers if layer in whole), layers[0])
        if whole and name not in whole:
            continue
        mask, shape = masks.get(weight), tuple(model.get_parameter(weight).shape)
        original = whole[name].shape_original if whole else shape
        left = int(mask.count_nonzero()) if mask is not None else prod(shape)
        how = next((collapsed[layer] for layer in layers if layer in collapsed), "" if left else ZERO)
        kind = type(model.get_submodule(_holder(weight))).__name__
        found.append(LayerRecord(name, kind, original, shape, prod(original), left, how))
    return tuple(found)


def _removed(layer: LayerRecord) -> LayerRecord:
    """A layer that went with its block: none of its filters is left."""
    return msgspec.structs.replace(layer, shape=(0, *layer.shape_original[1:]), weights_left=0, collapsed="")


def layer_name(parameter: str) -> str:
    """What a weight is recorded as: the layer whose `weight` it is, also where that is computed of it; else its own
    name, such as `attention.in_proj_weight`."""
    path, name = _split(parameter)
    return path if name == "weight" else f"{path}.{name}" if path else name


def _holder(parameter: str) -> str:
    """The layer that holds a parameter."""
    return _split(parameter)[0]


def _split(parameter: str) -> tuple[str, str]:
    if computed := PARAMETRIZED.fullmatch(parameter):
        return computed[1] or "", computed[2]
    path, _, name = parameter.rpartition(".")
    return path, name


def prunable_weights(parameters: Iterable[str], layers: Iterable[LayerRecord]) -> tuple[int, int, int]:
    """Weights of the named parameters: in the original, with kept filters × original inputs, and as they are."""
    wanted = {layer_name(name) for name in parameters}
    chosen = [layer for layer in layers if layer.name in wanted]
    return (
        sum(layer.weights for layer in chosen),
        sum(layer.shape[0] * prod(layer.shape_original[1:]) for layer in chosen),
        sum(layer.weights_left for layer in chosen),
    )


def unit_count(kind: str, original: int, before: int, left: int) -> UnitCount:
    """The count of one kind of unit, with the fraction that this step achieved."""
    return UnitCount(kind, original, before, left, 1 - left / before if before else 0.0)
