"""What adds up, batch by batch, at the places of parameters that operators multiply with data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod

import torch
from torch import nn

POOLED = ("input_variance", "input_zeros")
"""Kinds that are of all that was read together, so that what passed is counted too."""


class Totals:
    """Sums and means of what parameters are multiplied with, kept in tensors of their shapes.

    A factor that lies in a parameter's memory is that parameter, or the part of it that is seen there.

    Attributes:
        kinds: what is kept, among it what others are made of; of these `names` alone, where some are given.
    """

    def __init__(self, model: nn.Module, kinds: Collection[str], names: Collection[str] | None = None) -> None:
        self.kinds = {*kinds, *(["input_mean"] if "input_variance" in kinds else [])}
        self._found: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in self.kinds}
        self._passed: dict[str, torch.Tensor] = {}
        self._places = {
            parameter.untyped_storage().data_ptr(): (name, parameter)
            for name, parameter in model.named_parameters()
            if names is None or name in names
        }

    def has(self, tensor: torch.Tensor) -> bool:
        """Whether it is a parameter, or a part of one."""
        return tensor.layout is torch.strided and tensor.untyped_storage().data_ptr() in self._places

    def told(self, kinds: Collection[str]) -> dict[str, dict[str, torch.Tensor]]:
        """What has added up, by kind and parameter."""
        for total in self._found.get("input_norm", {}).values():
            total.sqrt_()
        for kind in self.kinds.intersection(POOLED):
            for name, total in self._found[kind].items():
                total.div_(self._passed[name].clamp(min=torch.finfo(total.dtype).tiny))
        return {kind: self._found[kind] for kind in kinds}

    def add(
        self, factor: torch.Tensor, inputs: tuple[int, ...], about: Mapping[str, torch.Tensor], share: float
    ) -> None:
        """Add what `about` tells of a batch, a share of all samples, to the places of the parameter that a factor
        shows, which sums up along its dimensions `inputs`; of the factor's shape, or expanded to it."""
        name, parameter = self._places[factor.untyped_storage().data_ptr()]
        offset = factor.storage_offset() - parameter.storage_offset()
        repeated = [d for d, step in enumerate(factor.stride()) if step == 0 and factor.shape[d] > 1]
        shape = [1 if d in repeated else size for d, size in enumerate(factor.shape)]
        times = factor.numel() / prod(shape)

        def place(found: dict[str, torch.Tensor], dtype: torch.dtype = factor.dtype) -> torch.Tensor:
            if name not in found:
                found[name] = torch.zeros_like(parameter, dtype=dtype, memory_format=torch.preserve_format)
            return found[name].as_strided(shape, factor.stride(), offset)

        def total(values: torch.Tensor) -> torch.Tensor:
            return values.expand(factor.shape).sum_to_size(shape)

        if "input_norm" in about:
            place(self._found["input_norm"]).add_(total(about["input_norm"]))
        for kind in about.keys() & {"input_size", "input_zeros"}:
            place(self._found[kind]).add_(total(share * about[kind]) / times)
        if "input_variance" in about:  # added up as by Chan et al. 1983, which loses no digits where means are large
            means = about["input_mean"].expand(factor.shape)
            mean = total(means) / times
            spread = total(about["input_variance"] + (means - mean).square()) / times
            apart, before = mean - place(self._found["input_mean"]), place(self._passed)
            part = share / (before + share)
            place(self._found["input_variance"]).add_(share * spread + apart.square() * (before * part))
            place(self._found["input_mean"]).add_(apart * part)
        if self.kinds.intersection(POOLED):
            place(self._passed).add_(share)
        if "output_row" in self.kinds:
            rows = torch.full([1] * factor.ndim, offset, device=factor.device)
            for d in set(range(factor.ndim)) - {d % factor.ndim for d in inputs}:
                steps = factor.stride(d) * torch.arange(shape[d], device=factor.device)
                rows = rows + steps.view([-1 if e == d else 1 for e in range(factor.ndim)])
            place(self._found["output_row"], torch.int64).copy_(rows.expand(shape))
