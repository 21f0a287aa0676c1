"""What weights are multiplied with: norms and means of what they read over the calibration samples.

Products are watched operator by operator, wherever weights live: a factor that lies in a parameter's memory is that
parameter, or the part of it that is seen there, whichever way it is turned.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn

from prunebench.data.task import Task
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.models.macs import Operators, taken_apart
from prunebench.pruning.evidence.totals import POOLED, Spread, Totals

aten = torch.ops.aten

PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1}
"""Products of matrices, and which argument is their first factor."""


def of_inputs(
    model: nn.Module,
    task: Task,
    kinds: Collection[str],
    samples: int,
    *,
    batch: int,
    names: Collection[str] | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """By kind and parameter, of its shape: of what each weight is multiplied with ‖x‖₂ over all samples and positions
    (`input_norm`), the mean of |x| (`input_size`), the variance of x (`input_variance`) and the share that is exactly
    zero (`input_zeros`). Parameters that are in no such product, or not among `names`, are not among them.

    Of text, samples of the same length pass together, so that there is no padding, and each sample counts as much as
    another. Where a weight is used several times in a pass, squares and means add up, and variances and shares are of
    what all uses read. The model is in evaluation mode.
    """
    device = next(model.parameters()).device
    indices = task.targets.some("train", samples)
    watching = _Inputs(model, kinds, names)
    chunks = samples_together(task, indices, batch)
    with taken_apart(model), torch.no_grad():
        for chunk, (inputs, _) in zip(chunks, task.batches("train", chunks, device), strict=True):
            watching.share = len(chunk) / len(indices)
            with watching:
                output_of(model, inputs)
    return watching.totals.told(kinds)


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
    return watching.totals.told(("output_row",))["output_row"]


def samples_together(task: Task, indices: torch.Tensor, batch: int) -> list[torch.Tensor]:
    """The samples that pass together: of text those of one length."""
    if task.inputs.kind != "text":
        return list(indices.split(batch))
    alone = task.batches("train", indices.split(1), torch.device("cpu"))
    lengths = torch.tensor([int(inputs["attention_mask"].sum()) for inputs, _ in alone])
    alike = [indices[lengths == length] for length in lengths.unique().tolist()]
    return [chunk for each in alike for chunk in each.split(batch)]


def products(func: Any, args: Any, kwargs: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The products of matrices that an operator is, (…, positions, in) by (…, in, out); of experts one for each."""
    packet = getattr(func, "_overloadpacket", func)
    if packet in PRODUCTS:
        left, right = args[PRODUCTS[packet] :][:2]
        return [(left, right)]
    if packet is not aten._grouped_mm or args[0].ndim != 2 or args[1].ndim != 3:
        return []
    ends = (args[2] if len(args) > 2 else kwargs["offs"]).tolist()
    return [(args[0][start:end], args[1][i]) for i, (start, end) in enumerate(itertools.pairwise([0, *ends]))]


class _Inputs(Operators):
    """Shows `totals` what parameters are multiplied with.

    Attributes:
        share: of all samples, that pass now.
        totals: what has added up.
    """

    def __init__(self, model: nn.Module, kinds: Collection[str], names: Collection[str] | None = None) -> None:
        super().__init__()
        self.share = 0.0
        self.totals = Totals(model, kinds, names)

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        for left, right in products(func, args, kwargs):
            if not left.shape[-2]:  # an expert that none of these samples asks
                continue
            if self.totals.has(right):
                self._add(right, (-2,), left, (-2,), lambda each: each[..., None])
            elif self.totals.has(left):
                self._add(left, (-1,), right, (-1,), lambda each: each[..., None, :])
        if getattr(func, "_overloadpacket", func) is aten.convolution and self.totals.has(args[1]) and not args[6]:
            data, weight, _, *form, _, _, groups = args[:9]
            kernel = weight.shape[2:]

            def of_filters(values: torch.Tensor) -> torch.Tensor:
                wide = values.view(-1, *(1 for _ in kernel)).expand(-1, *kernel) if values.ndim == 1 else values
                return _per_filter(wide, weight, groups)

            def squares() -> torch.Tensor:
                return _windows(data.square(), kernel, *form)

            space = (0, *range(2, data.ndim))
            self._add(weight, tuple(range(1, weight.ndim)), data, space, of_filters, input_norm=squares)

    def _add(
        self,
        factor: torch.Tensor,
        inputs: tuple[int, ...],
        data: torch.Tensor,
        over: tuple[int, ...],
        spread: Spread,
        **otherwise: Callable[[], torch.Tensor],
    ) -> None:
        """Add what a factor, which sums up along its dimensions `inputs`, is multiplied with: data, of which values are
        taken over some dimensions, and spread over the weights that read it; some kinds are found otherwise."""
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "input_norm": lambda: data.square().sum(over),
            "input_size": lambda: data.abs().mean(over),
            "input_mean": lambda: data.mean(over),
            "input_variance": lambda: (data - data.mean(over, keepdim=True)).square_().mean(over),
            "input_zeros": lambda: (data == 0).to(data.dtype).mean(over),
        }
        about = {kind: way() for kind, way in (ways | otherwise).items() if kind in self.totals.kinds}
        pooled = {kind: about.pop(kind) for kind in POOLED if kind in about}
        self.totals.add(factor, inputs, {kind: spread(values) for kind, values in about.items()}, self.share)
        if pooled:
            self.totals.pool(factor, pooled, spread, self.share)


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
