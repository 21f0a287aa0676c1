"""Sizes: what a pruned model is, as data, and how a full one becomes it.

Shapes of the parameters and buffers that have changed, and integers of modules that followed. Names in the data are
only compared with what the built model has: none of them reaches `setattr`, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import nn

from prunebench.errors import RunError
from prunebench.models.known_layers import Shape, follow_sizes
from prunebench.models.reshaping import Reshaping, reshaped


@dataclass(frozen=True)
class Sizes:
    """What differs from the full model.

    Attributes:
        shapes: parameter or buffer → its shape.
        attributes: module → attribute → its value, of those that no known layer says.
        reshapings: module → sizes that it gets instead of those that its code asks for.
    """

    shapes: dict[str, list[int]] = field(default_factory=dict)
    attributes: dict[str, dict[str, int]] = field(default_factory=dict)
    reshapings: dict[str, Reshaping] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A mapping that JSON can hold."""
        reshapings = msgspec.to_builtins(self.reshapings, str_keys=True)
        return {"shapes": self.shapes, "attributes": self.attributes, "reshapings": reshapings}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Sizes:
        """The sizes of such a mapping.

        Raises:
            RunError: it holds anything else than names and positive integers.
        """
        shapes, attributes = data.get("shapes"), data.get("attributes")
        if not isinstance(shapes, dict) or not isinstance(attributes, dict):
            raise RunError("The sizes of the pruned model are damaged: shapes and attributes are missing.")
        lists = list(shapes.values())
        values = [value for own in attributes.values() if isinstance(own, dict) for value in own.values()]
        sound = all(isinstance(own, dict) for own in attributes.values()) and all(isinstance(s, list) for s in lists)
        if not sound or not all(type(n) is int and n > 0 for n in [*values, *(n for s in lists for n in s)]):
            raise RunError("The sizes of the pruned model are damaged: they are not positive integers.")
        try:
            reshapings = msgspec.convert(data.get("reshapings", {}), dict[str, Reshaping], str_keys=True)
        except msgspec.ValidationError as error:
            raise RunError(f"The sizes of the pruned model are damaged: {error}.") from error
        return Sizes(shapes, attributes, reshapings)


def replace(model: nn.Module, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Put other tensors in the places of parameters and buffers; tied ones stay tied; layers' attributes follow.

    A buffer that is no part of the model's state becomes one: building the model anew does not give it.

    Args:
        tensors: by the first name of each, as `named_parameters` and `named_buffers` have it. Each is asked for when
            the one before is in its place, so that no two copies of a model are held.
    """
    names = {id(tensor): name for name, tensor in tensors_of(model).items()}
    places: dict[str, list[tuple[Any, str]]] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for key, value in own.items():
                if value is not None:
                    places.setdefault(names[id(value)], []).append((own, key))
    shapes: dict[int, Shape] = {}
    for name, tensor in tensors:
        own, key = places[name][0]
        old: torch.Tensor = own[key]
        new = tensor
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(tensor, old.requires_grad)
        shapes[id(new)] = tuple(old.shape)
        del old
        for own, key in places[name]:
            own[key] = new
    for module in model.modules():
        own_shapes = {
            _plain(key): shapes[id(value)]
            for key, value in [*module.named_parameters(), *module.named_buffers()]
            if id(value) in shapes
        }
        if own_shapes and isinstance(module, nn.RNNBase):
            module._flat_weights = [getattr(module, key) for key in module._flat_weights_names]
        if own_shapes:
            module._non_persistent_buffers_set.difference_update(own_shapes)
            follow_sizes(module, own_shapes)


def _plain(key: str) -> str:
    """`weight` of `parametrizations.weight.original1` and of `weight_v`: the shape that the layer computes."""
    if key.startswith("parametrizations."):
        _, name, which = key.split(".", 2)
        return name if which in ("original", "original1") else key
    return {"weight_v": "weight", "weight_orig": "weight"}.get(key, key)


def restore(model: nn.Module, sizes: Sizes) -> None:
    """Give a full model, freshly built, the sizes of a pruned one; what has changed has no values yet.

    Raises:
        RunError: the sizes are of another model.
    """
    known = tensors_of(model)
    tensors = {}
    for name, tensor in known.items():
        if (shape := sizes.shapes.get(name)) is not None:
            if len(shape) != tensor.ndim or any(n > m for n, m in zip(shape, tensor.shape, strict=True)):
                raise RunError(f"The sizes of the pruned model do not fit: {name} cannot become {shape}.")
            tensors[name] = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
    if unknown := set(sizes.shapes) - set(tensors):
        raise RunError(f"The sizes of the pruned model do not fit: the model has no {min(unknown)!r}.")
    replace(model, tensors.items())
    left = {(path, key) for path, own in sizes.attributes.items() for key in own}
    for path, module in model.named_modules():
        for key, value in integers(module).items():
            if (path, key) in left:
                if sizes.attributes[path][key] > value:
                    raise RunError(
                        f"The sizes of the pruned model do not fit: {key} of {path or 'the model'} would grow."
                    )
                module.__dict__[key] = sizes.attributes[path][key]
                left.discard((path, key))
    if left:
        path, key = min(left)
        raise RunError(f"The sizes of the pruned model do not fit: {path or 'the model'} has no {key!r}.")
    modules = dict(model.named_modules())
    for path, how in sizes.reshapings.items():
        if path not in modules:
            raise RunError(f"The sizes of the pruned model do not fit: the model has no module {path!r}.")
        reshaped(modules[path], how)


def tensors_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, tied ones under their first name."""
    return dict([*model.named_parameters(), *model.named_buffers()])


def integers(module: nn.Module) -> dict[str, int]:
    """The module's own attributes that are positive integers."""
    return {key: value for key, value in vars(module).items() if type(value) is int and value > 0 and key[:1] != "_"}
