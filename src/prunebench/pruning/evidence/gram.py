"""Gram matrices: how what the weights of one parameter read goes together, H = Σ x xᵀ over the calibration samples.

Products are watched as for `inputs`. A parameter is seen as rows, one per output, of columns, one per value that a row
reads; of a convolution these are the places of its kernel in every channel, of a grouped one each group's rows read
columns of their own. A parameter of which parts read different data, such as the joint projection of an attention with
a memory, or weights of several experts, has several parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.errors import ConfigError
from prunebench.models.input_spec import output_of
from prunebench.models.layers import layer_name
from prunebench.models.macs import Operators, taken_apart
from prunebench.models.memory import free_bytes
from prunebench.models.wide import widest
from prunebench.pruning.evidence.inputs import products, samples_together

aten = torch.ops.aten

WORKING = 3
"""Matrices as large as one of products that are there at once while it is used, such as its inverse and its factor."""

VALUES = 2**24
"""Values that a convolution reads, with their repetitions, at a time."""


@dataclass(frozen=True)
class Part:
    """A part of a parameter whose weights read the same data, by groups.

    Attributes:
        shape: (groups, rows, …columns), as strides and an offset show it in the parameter's memory.
        gram: float64, (groups, columns, columns).
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    gram: torch.Tensor

    def by_place(self) -> torch.Tensor:
        """The order of columns in which, of a convolution, channels at the same place of a kernel are side by side."""
        columns = self.shape[2:]
        return torch.arange(prod(columns)).view(columns).movedim(0, -1).flatten()

    @property
    def last(self) -> int:
        """Where its last weight lies in the parameter's memory."""
        return self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))

    def of(self, laid: torch.Tensor) -> torch.Tensor:
        """Its view of a tensor that lies in memory as the parameter does, of `shape`."""
        return laid.as_strided(self.shape, self.strides, laid.storage_offset() + self.offset)


@dataclass(frozen=True)
class Gram:
    """What the weights of a parameter read, part by part; each weight is in one of them."""

    parts: tuple[Part, ...]

    def split(self, parameter: torch.Tensor, values: torch.Tensor) -> list[torch.Tensor]:
        """Values of the parameter's shape as (groups, rows, columns) of each part."""
        laid = torch.empty_like(parameter, dtype=values.dtype).copy_(values)
        return [part.of(laid).flatten(2) for part in self.parts]

    def joined(self, parameter: torch.Tensor, values: list[torch.Tensor]) -> torch.Tensor:
        """What `split` has split, in the parameter's shape."""
        laid = torch.empty_like(parameter, dtype=values[0].dtype)
        for part, each in zip(self.parts, values, strict=True):
            part.of(laid).copy_(each.view(part.shape))
        return laid


def gram_of(
    model: nn.Module, task: Task, name: str, samples: int, *, batch: int, excluding: str | None = None
) -> Gram | None:
    """What the weights of one parameter read over `samples` training samples, as the model is, in evaluation mode; None
    where they are in no product that is watched, or where some read different data in different products.

    Of text, samples of the same length pass together, so that there is no padding. Where a weight is used several times
    in a pass, what it reads adds up.

    Raises:
        ConfigError: that takes more memory than is free; the layer to exclude is `excluding`, else the parameter's own.
    """
    watching = _Grams(name, excluding or layer_name(name), model.get_parameter(name))
    _pass_samples(model, task, samples, batch, watching)
    return watching.gram()


def order_of(model: nn.Module, task: Task, samples: int, *, batch: int) -> list[str]:
    """Names of the parameters that are multiplied with data as they are, in the order in which samples meet them."""
    watching = _Order(model)
    _pass_samples(model, task, samples, batch, watching)
    return list(watching.names)


def _pass_samples(model: nn.Module, task: Task, samples: int, batch: int, watching: Operators) -> None:
    device = next(model.parameters()).device
    chunks = samples_together(task, task.targets.some("train", samples), batch)
    with taken_apart(model), torch.no_grad():
        for inputs, _ in task.batches("train", chunks, device):
            with watching:
                output_of(model, inputs)


class _Order(Operators):
    """Notes in which order parameters are multiplied."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names: dict[str, None] = {}
        self._places = {p.untyped_storage().data_ptr(): name for name, p in model.named_parameters()}

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        factors = [each for pair in products(func, args, kwargs) for each in pair]
        for factor in [*factors, args[1]] if _convolves(func, args) else factors:
            if factor.layout is torch.strided and factor.untyped_storage().data_ptr() in self._places:
                self.names.setdefault(self._places[factor.untyped_storage().data_ptr()])


class _Grams(Operators):
    """Adds up what the weights of a parameter read."""

    def __init__(self, name: str, layer: str, parameter: torch.Tensor) -> None:
        super().__init__()
        self._name, self._layer = name, layer
        self._parameter, self._parts = parameter, dict[tuple[tuple[int, ...], tuple[int, ...], int], Part]()
        self._spoilt = False

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        if _convolves(func, args) and self._is_it(args[1]):
            self._convolve(args[0], args[1], args, out)
        for left, right in products(func, args, kwargs):
            if self._is_it(right):
                self._add(right, *_by_group(right.mT), left)
            elif self._is_it(left):
                self._add(left, *_by_group(left), right.mT)

    def _convolve(self, data: torch.Tensor, weight: torch.Tensor, args: Any, out: torch.Tensor) -> None:
        groups = args[8]
        shape = (groups, len(weight) // groups, *weight.shape[1:])
        strides = (weight.stride(0) * shape[1], *weight.stride())
        for some in data.split(max(1, VALUES // (out[0, 0].numel() * weight[0].numel() * groups))):
            read = _patches(some, weight.shape[2:], *args[3:6])
            self._add(weight, shape, strides, read.unflatten(1, (groups, -1)).flatten(2).transpose(0, 1))

    def gram(self) -> Gram | None:
        """What was read; of what no sample reached, such as an expert, that is nothing."""
        parts = list(self._parts.values())
        if self._spoilt or not parts:
            return None
        times = torch.zeros_like(self._parameter, dtype=torch.int32)
        for part in parts:
            part.of(times).add_(1)
        unread = replace(parts[0], gram=torch.zeros_like(parts[0].gram))
        while len(missing := (times.as_strided([times.numel()], [1]) == 0).nonzero()):
            parts.append(replace(unread, offset=int(missing[0])))
            if parts[-1].last >= times.numel():
                return None
            parts[-1].of(times).add_(1)
        return Gram(tuple(sorted(parts, key=lambda part: part.offset))) if (times == 1).all() else None

    def _is_it(self, tensor: torch.Tensor) -> bool:
        place = self._parameter.untyped_storage().data_ptr()
        return tensor.layout is torch.strided and tensor.untyped_storage().data_ptr() == place

    def _add(self, factor: torch.Tensor, shape: Any, strides: Any, data: torch.Tensor) -> None:
        """Add data (groups, positions, columns), or of one group (…, positions, columns), to the matrix of the part
        that a factor shows, of a shape (groups, rows, …columns)."""
        sizes = [(n, step if n > 1 else 0) for n, step in zip(shape, strides, strict=True)]
        sizes = sizes[:2] + ([size for size in sizes[2:] if size[0] > 1] or [(1, 0)])
        self._spoilt |= any(n > 1 and step == 0 for n, step in sizes)
        offset = factor.storage_offset() - self._parameter.storage_offset()
        key = tuple(n for n, _ in sizes), tuple(step for _, step in sizes), int(offset)
        data = data.reshape(shape[0], -1, data.shape[-1])
        if key not in self._parts:
            self._check_room(shape[0], data)
            empty = torch.zeros(shape[0], *[data.shape[-1]] * 2, dtype=widest(data.device), device=data.device)
            self._parts[key] = Part(key[0], key[1], key[2], empty)
        data = data if data.dtype == torch.float64 else data.float()
        self._parts[key].gram.add_(data.mT @ data)

    def _check_room(self, groups: int, data: torch.Tensor) -> None:
        """Raise ConfigError where the matrices of what some groups read, and what is made of one of them, take more
        memory than is free: systems end a process then, and say nothing."""
        columns = data.shape[-1]
        takes, free = 8 * columns**2 * (groups + WORKING), free_bytes(data.device)
        if free is not None and takes > free:
            raise ConfigError(
                f"Each output of {self._name} reads {columns:,} values, whose products take {takes / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free: --exclude '{self._layer}', or give another criterion."
            )


def _convolves(func: Any, args: Any) -> bool:
    """Whether an operator is a convolution that is not transposed."""
    return getattr(func, "_overloadpacket", func) is aten.convolution and not args[6]


def _by_group(factor: torch.Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and strides of a factor (…, out, in) as (groups, out, in); one that is repeated is one group."""
    groups = factor.shape[0] if factor.ndim == 3 and factor.stride(0) else 1
    return (groups, *factor.shape[-2:]), (factor.stride(0), *factor.stride()[-2:])


def _patches(data: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> torch.Tensor:
    """What a kernel reads of (samples, channels, *space): (samples·positions, channels, places)."""
    padded = nn.functional.pad(data, [each for side in reversed(padding) for each in (side, side)]).contiguous()
    space = range(len(kernel))
    steps = [(padded.shape[2 + i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in space]
    own = padded.stride()
    positions, places = [own[2 + i] * stride[i] for i in space], [own[2 + i] * dilation[i] for i in space]
    shape = (len(data), *steps, data.shape[1], *kernel)
    windows = padded.as_strided(shape, (own[0], *positions, own[1], *places))
    return windows.reshape(len(data) * prod(steps), data.shape[1], prod(kernel))
