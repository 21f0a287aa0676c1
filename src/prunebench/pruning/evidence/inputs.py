"""What weights are multiplied with: norms and means of what they read over the calibration samples.

Products are watched operator by operator, wherever weights live: a factor that lies in a parameter's memory is that
parameter, or the part of it that is seen there, whichever way it is turned.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from math import prod
from typing import Any

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.macs import Operators, taken_apart

aten = torch.ops.aten

PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}
"""Products of matrices, and which argument is their first factor."""


KINDS = ("input_norm", "input_size")
"""Kinds of evidence that are found here."""


def of_inputs(
    model: nn.Module, task: Task, kinds: Collection[str], samples: int, *, batch: int
) -> dict[str, dict[str, torch.Tensor]]:
    """By kind and parameter, of its shape: of what each weight is multiplied with ‖x‖₂ over all samples and positions
    (`input_norm`) and the mean of |x| (`input_size`). Parameters that are in no such product are not among them.

    Of text, samples of the same length pass together, so that there is no padding. Where a weight is used several times
    in a pass, squares and means add up. The model is in evaluation mode.
    """
    device = next(model.parameters()).device
    indices = task.targets.some("train", samples)
    watching = _Inputs(model, kinds)
    chunks = _chunks(task, indices, batch)
    with taken_apart(model), torch.no_grad():
        for chunk, (inputs, _) in zip(chunks, task.batches("train", chunks, device), strict=True):
            watching.share = len(chunk) / len(indices)
            with watching:
                output_of(model, inputs)
    for total in watching.found.get("input_norm", {}).values():
        total.sqrt_()
    return watching.found


def output_rows(model: nn.Module, inputs: InputSpec) -> dict[str, torch.Tensor]:
    """Which output each weight is summed up in, by the place of the first weight of that: by parameter, int64 of its
    shape. Parameters that are in no product of data are not among them; of several products the last one tells."""
    watching = _Inputs(model, ("output_row",))
    example = to(inputs.example(), device=next(model.parameters()).device)
    training = {module: module.training for module in model.modules()}
    try:
        with taken_apart(model.eval()), torch.no_grad(), watching:
            output_of(model, example)
    finally:
        for module, mode in training.items():
            module.training = mode
    return watching.found["output_row"]


def _chunks(task: Task, indices: torch.Tensor, batch: int) -> list[torch.Tensor]:
    """The samples that pass together: of text those of one length."""
    if task.inputs.kind != "text":
        return list(indices.split(batch))
    alone = task.batches("train", indices.split(1), torch.device("cpu"))
    lengths = torch.tensor([int(inputs["attention_mask"].sum()) for inputs, _ in alone])
    alike = [indices[lengths == length] for length in lengths.unique().tolist()]
    return [chunk for each in alike for chunk in each.split(batch)]


class _Inputs(Operators):
    """Adds up what parameters are multiplied with.

    Attributes:
        share: of all samples, that pass now.
        found: as `of_inputs` returns it, with squares for norms.
    """

    def __init__(self, model: nn.Module, kinds: Collection[str]) -> None:
        super().__init__()
        self.share = 0.0
        self.found: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in kinds}
        self._places = {p.untyped_storage().data_ptr(): (name, p) for name, p in model.named_parameters()}

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        packet = getattr(func, "_overloadpacket", func)
        if packet in PRODUCTS:
            left, right = args[PRODUCTS[packet] :][:2]
            if self._is_weight(right):  # (…, positions, in) by (…, in, out)
                self._add(right, left.square().sum(-2)[..., None], left.abs().mean(-2)[..., None], (-2,))
            elif self._is_weight(left):
                self._add(left, right.square().sum(-1)[..., None, :], right.abs().mean(-1)[..., None, :], (-1,))
        elif packet is aten.convolution and self._is_weight(args[1]) and not args[6]:
            data, weight, _, stride, padding, dilation, _, _, groups = args[:9]
            squares = _windows(data.square(), weight.shape[2:], stride, padding, dilation)
            sizes = data.abs().mean([0, *range(2, data.ndim)]).view(-1, *(1 for _ in weight.shape[2:]))
            squares, sizes = (_per_filter(each, weight, groups) for each in (squares, sizes.expand_as(squares)))
            self._add(weight, squares, sizes, tuple(range(1, weight.ndim)))

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        return tensor.layout is torch.strided and tensor.untyped_storage().data_ptr() in self._places

    def _add(self, factor: torch.Tensor, squares: torch.Tensor, sizes: torch.Tensor, inputs: tuple[int, ...]) -> None:
        """Add to the places of the parameter that a factor shows, which sums up along its dimensions `inputs`."""
        name, parameter = self._places[factor.untyped_storage().data_ptr()]
        offset = factor.storage_offset() - parameter.storage_offset()
        repeated = [d for d, step in enumerate(factor.stride()) if step == 0 and factor.shape[d] > 1]
        shape = [1 if d in repeated else size for d, size in enumerate(factor.shape)]

        def place(kind: str, dtype: torch.dtype) -> torch.Tensor:
            if name not in self.found[kind]:
                self.found[kind][name] = torch.zeros_like(parameter, dtype=dtype, memory_format=torch.preserve_format)
            return self.found[kind][name].as_strided(shape, factor.stride(), offset)

        if "input_norm" in self.found:
            place("input_norm", factor.dtype).add_(squares.expand(factor.shape).sum_to_size(shape))
        if "input_size" in self.found:
            times = factor.numel() // prod(shape)
            sizes = (self.share * sizes).expand(factor.shape).sum_to_size(shape) / times
            place("input_size", factor.dtype).add_(sizes)
        if "output_row" in self.found:
            rows = torch.full([1] * factor.ndim, offset, device=factor.device)
            for d in set(range(factor.ndim)) - {d % factor.ndim for d in inputs}:
                steps = factor.stride(d) * torch.arange(shape[d], device=factor.device)
                rows = rows + steps.view([-1 if e == d else 1 for e in range(factor.ndim)])
            place("output_row", torch.int64).copy_(rows.expand(shape))


def _windows(data: torch.Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any) -> torch.Tensor:
    """Sums over samples and positions of what each place of a kernel reads of (samples, channels, *space): (channels,
    *kernel)."""
    padded = nn.functional.pad(data, [each for side in reversed(padding) for each in (side, side)])
    size = padded.shape[2:]
    steps = [(size[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] for i in range(len(kernel))]
    sums = []
    for place in itertools.product(*map(range, kernel)):
        starts = [dilation[i] * at for i, at in enumerate(place)]
        cut = tuple(slice(s, s + stride[i] * steps[i] + 1, stride[i]) for i, s in enumerate(starts))
        sums.append(padded[:, :, *cut].sum([0, *range(2, data.ndim)]))
    return torch.stack(sums, 1).view(-1, *kernel)


def _per_filter(values: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    """(channels, *kernel) as every filter of a grouped convolution reads it: of the weight's shape."""
    of_groups = values.reshape(groups, -1, *values.shape[1:])
    return of_groups.repeat_interleave(weight.shape[0] // groups, 0)
