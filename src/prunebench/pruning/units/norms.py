"""Norms over channels that are left: what masking means where a norm averages over the channels that go.

A norm over channels reads all of them, so that zeros among them change its mean and its variance. With such norms,
pruned is compared with the model whose norms leave the removed channels out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class _Narrow(TorchDispatchMode):
    def __init__(self, kept: Mapping[int, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept = kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.native_layer_norm.default and id(args[2]) in self.kept:
            data, _, weight, bias, epsilon = args
            out = _normalised(data, self.kept[id(weight)], [-1], epsilon)
            return (_affine(out, weight, bias, -1), data.new_empty(0), data.new_empty(0))
        if func is aten.native_group_norm.default and id(args[1]) in self.kept and args[6] == 1:
            data, weight, bias, *_, epsilon = args
            shape = (-1, *(1 for _ in data.shape[2:]))
            out = _normalised(data, self.kept[id(weight)].view(shape), list(range(1, data.ndim)), epsilon)
            return (_affine(out, weight, bias, 1), data.new_empty(0), data.new_empty(0))
        return func(*args, **(kwargs or {}))


def _normalised(data: torch.Tensor, kept: torch.Tensor, dims: list[int], epsilon: float) -> torch.Tensor:
    """Data normalised over those channels alone, the others zero."""
    kept = kept.to(data.dtype).expand_as(data)
    count = kept.sum(dims, keepdim=True)
    centre = (data - (data * kept).sum(dims, keepdim=True) / count) * kept
    variance = centre.square().sum(dims, keepdim=True) / count
    return centre * (variance + epsilon).rsqrt()


def _affine(data: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, dim: int) -> torch.Tensor:
    shape = [-1 if d == dim % data.ndim else 1 for d in range(data.ndim)]
    scaled = data * weight.view(shape)
    return scaled if bias is None else scaled + bias.view(shape)


@contextlib.contextmanager
def narrowed(kept: Mapping[torch.Tensor, torch.Tensor]) -> Iterator[None]:
    """Within, norms with these weights average over the kept channels alone.

    Args:
        kept: weight of a norm → which of its channels stay, a bool of its shape.
    """
    if not kept:
        yield
        return
    with _Narrow({id(weight): which for weight, which in kept.items()}):
        yield
