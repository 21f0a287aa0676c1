"""Sharing: parameters that stand in a model under several names, and values that share memory.

A parameter that two layers hold, or a layer that is used twice, has several names; by the first it is counted, masked
and stored, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prunebench.models.masks import Masks

if TYPE_CHECKING:
    import torch
    from torch import nn


def first_names(model: nn.Module, *, buffers: bool = False) -> dict[str, str]:
    """Every name of every parameter, and of every buffer if asked for, → the first name of the same."""
    first: dict[int, str] = {}
    names = list(model.named_parameters(remove_duplicate=False))
    names += list(model.named_buffers(remove_duplicate=False)) if buffers else []  # type: ignore[arg-type]
    return {name: first.setdefault(id(tensor), name) for name, tensor in names}


def distinct(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Names of parameters without those of which one before is the same parameter."""
    first, found = first_names(model), dict[str, str]()
    for name in names:
        found.setdefault(first.get(name, name), name)
    return list(found.values())


def held_by_several(model: nn.Module) -> set[str]:
    """All names of the parameters that several layers hold; not of a layer that is used twice."""
    holders: dict[str, set[int]] = {}
    first = first_names(model)
    for name in first:
        holders.setdefault(first[name], set()).add(id(model.get_submodule(name.rpartition(".")[0])))
    return {name for name in first if len(holders[first[name]]) > 1}


def by_first_names(masks: Masks, model: nn.Module) -> Masks:
    """Masks by the first names of what they mask; of one parameter, what any of its masks has removed is removed."""
    first = first_names(model)
    found: dict[str, torch.Tensor] = {}
    for name, mask in masks.items():
        one = first.get(name, name)
        found[one] = found[one] & mask if one in found else mask
    return found


def settle(model: nn.Module) -> None:
    """Give every parameter memory of its own, and one object to parameters that share all of theirs.

    PyTorch trains neither rightly: fused optimizers write an expanded parameter beyond its memory; two parameters made
    of one tensor are updated twice, and part when they are copied. Parameters that share a part of their memory, or
    share it transposed, become two. Buffers are left, but for expanded ones, which cannot be loaded.
    """
    import torch

    owners: dict[int, list[nn.Parameter]] = {}
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is None or buffer.layout is not torch.strided:
                continue
            if any(stride == 0 < size - 1 for stride, size in _axes(buffer)):
                setattr(module, name, buffer.clone(memory_format=torch.contiguous_format))
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_meta or not parameter.numel() or parameter.layout is not torch.strided:
                continue
            if not _dense(parameter):
                parameter.data = parameter.detach().clone(memory_format=torch.contiguous_format)
            there = owners.setdefault(parameter.untyped_storage().data_ptr(), [])
            same = next((other for other in there if _alike(other, parameter)), None)
            if same is not None:
                setattr(module, name, same)
            elif any(_overlap(other, parameter) for other in there):
                parameter.data = parameter.detach().clone()
            else:
                there.append(parameter)


def part(model: nn.Module, name: str) -> None:
    """Make a parameter of its own of one that several layers hold, where it goes by this name."""
    from torch import nn

    path, _, own = name.rpartition(".")
    tied = model.get_parameter(name)
    setattr(model.get_submodule(path), own, nn.Parameter(tied.detach().clone(), tied.requires_grad))


def _axes(tensor: torch.Tensor) -> list[tuple[int, int]]:
    """The stride and the size of every dimension, the smallest stride first."""
    return sorted(zip(tensor.stride(), tensor.shape, strict=True))


def _dense(tensor: torch.Tensor) -> bool:
    """Whether every value has a place of its own, with no gaps between them."""
    expected = 1
    for stride, size in _axes(tensor):
        if size > 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same values in the same memory."""
    about = [(t.dtype, t.requires_grad, t.data_ptr(), t.shape, t.stride()) for t in (one, other)]
    return about[0] == about[1]


def _overlap(one: torch.Tensor, other: torch.Tensor) -> bool:
    first, second = ((t.data_ptr(), t.data_ptr() + t.nbytes) for t in (one, other))
    return first[0] < second[1] and second[0] < first[1]
