"""What adds up, batch by batch, at the places of parameters that operators multiply with data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod

import torch
from torch import nn

POOLED = ("input_mean", "input_variance", "input_zeros")
"""Kinds that are of all that was read, taken together."""

Spread = Callable[[torch.Tensor], torch.Tensor]
"""Values of each input → of each weight that reads it, in the shape of a factor or such that they expand to it."""


class Totals:
    """Sums and means of what parameters are multiplied with, kept in tensors of their shapes.

    A factor that lies in a parameter's memory is that parameter, or the part of it that is seen there.

    Attributes:
        kinds: what is kept, among it what others are made of; of these `names` alone, where some are given.
    """

    def __init__(self, model: nn.Module, kinds: Collection[str], names: Collection[str] | None = None) -> None:
        self.kinds = {*kinds, *(["input_mean"] if "input_variance" in kinds else [])}
        self._found: dict[str, dict[str, torch.Tensor]] = {kind: {} for kind in self.kinds}
        self._pools: dict[tuple[object, ...], _Pool] = {}
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
        passed: dict[str, torch.Tensor] = {}
        for pool in self._pools.values():
            self._merge(pool, passed)
        return {kind: self._found[kind] for kind in kinds}

    def add(
        self, factor: torch.Tensor, inputs: tuple[int, ...], about: Mapping[str, torch.Tensor], share: float
    ) -> None:
        """Add what `about` tells of a batch, a share of all samples, to the places of the parameter that a factor
        shows, which sums up along its dimensions `inputs`; of the factor's shape, or expanded to it."""
        place = _Place(factor, *self._places[factor.untyped_storage().data_ptr()])
        if "input_norm" in about:
            place.within(self._found["input_norm"], factor.dtype).add_(place.total(about["input_norm"]))
        if "input_size" in about:
            sizes = place.total(share * about["input_size"]) / place.times
            place.within(self._found["input_size"], factor.dtype).add_(sizes)
        if "output_row" in self.kinds:
            rows = torch.full([1] * factor.ndim, place.offset, device=factor.device)
            for d in set(range(factor.ndim)) - {d % factor.ndim for d in inputs}:
                steps = factor.stride(d) * torch.arange(place.shape[d], device=factor.device)
                rows = rows + steps.view([-1 if e == d else 1 for e in range(factor.ndim)])
            place.within(self._found["output_row"], torch.int64).copy_(rows.expand(place.shape))

    def pool(self, factor: torch.Tensor, about: Mapping[str, torch.Tensor], spread: Spread, share: float) -> None:
        """Take what `about` tells of the inputs of a factor in a batch together with what was told of them before."""
        name, _ = self._places[factor.untyped_storage().data_ptr()]
        key = (name, factor.storage_offset(), tuple(factor.shape), factor.stride())
        self._pools.setdefault(key, _Pool(factor, spread)).add(about, share)

    def _merge(self, pool: _Pool, passed: dict[str, torch.Tensor]) -> None:
        """Take what a pool tells together with what others told of the same weights, of which so much has passed."""
        place = _Place(pool.factor, *self._places[pool.factor.untyped_storage().data_ptr()])
        here = {kind: pool.spread(values) for kind, values in pool.about.items()}
        before = place.within(passed, pool.factor.dtype)
        part = pool.share / (before + pool.share)
        if "input_zeros" in here:
            zeros = place.within(self._found["input_zeros"], pool.factor.dtype)
            zeros.add_((place.total(here["input_zeros"]) / place.times - zeros) * part)
        if "input_variance" in here:
            means = here["input_mean"].expand(pool.factor.shape)
            mean = place.total(means) / place.times
            within = place.total(here["input_variance"] + (means - mean).square()) / place.times
            known, variance = (
                place.within(self._found[kind], pool.factor.dtype) for kind in ("input_mean", "input_variance")
            )
            apart = mean - known
            variance.add_((within - variance) * part + apart.square() * (part * (1 - part)))
            known.add_(apart * part)
        before.add_(pool.share)


class _Pool:
    """What is told of the inputs of one factor, batch by batch: added up as by Chan et al. 1983, which loses no digits
    where means are large."""

    def __init__(self, factor: torch.Tensor, spread: Spread) -> None:
        self.factor, self.spread = factor, spread
        self.share = 0.0
        self.about: dict[str, torch.Tensor] = {}

    def add(self, about: Mapping[str, torch.Tensor], share: float) -> None:
        """Take a batch, a share of all samples, together with those before."""
        known = self.about or {kind: torch.zeros_like(values) for kind, values in about.items()}
        part = share / (self.share + share)
        apart = {kind: about[kind] - known[kind] for kind in about}
        self.about = {kind: known[kind] + part * apart[kind] for kind in about}
        if "input_variance" in about:
            self.about["input_variance"] += part * (1 - part) * apart["input_mean"].square()
        self.share += share


class _Place:
    """Where in a parameter a factor lies, and how often it shows each weight."""

    def __init__(self, factor: torch.Tensor, name: str, parameter: torch.Tensor) -> None:
        self._factor, self._name, self._parameter = factor, name, parameter
        self.offset = factor.storage_offset() - parameter.storage_offset()
        repeated = [d for d, step in enumerate(factor.stride()) if step == 0 and factor.shape[d] > 1]
        self.shape = [1 if d in repeated else size for d, size in enumerate(factor.shape)]
        self.times = factor.numel() // prod(self.shape)

    def within(self, found: dict[str, torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """The place in a tensor like the parameter, which is zero where nothing was found yet."""
        if self._name not in found:
            found[self._name] = torch.zeros_like(self._parameter, dtype=dtype, memory_format=torch.preserve_format)
        return found[self._name].as_strided(self.shape, self._factor.stride(), self.offset)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Values of the factor, summed up over what shows the same weights."""
        return values.expand(self._factor.shape).sum_to_size(self.shape)
