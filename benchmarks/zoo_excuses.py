"""Why layers may keep all their units: what norms over channels hold together, and what is no channel.

A channel of a layer is changed, while all other layers with weights give what they gave: so the change gets on through
sums, gates and activations alone. Where a norm reads it as a change of a few of the channels of a position, that norm
holds these channels together with the others, and none can go without changing them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from prunebench.models.input_spec import InputSpec, output_of

UNUSED = "the outputs do not depend on it"
ONE = "it makes one channel or one head"
POSITIONS = "it makes positions, not channels"
HELD = "norms over channels hold them together"

FEW = 4
BY_CHANNEL = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
MIXING = (nn.Linear, nn.modules.conv._ConvNd, nn.MultiheadAttention, nn.RNNBase, nn.Embedding)


class Excuses:
    """What a model's layers may be excused by."""

    def __init__(self, model: nn.Module, inputs: InputSpec) -> None:
        self.model, self.example = model.eval(), inputs.example(2, seed=5)
        self.modules = dict(model.named_modules())
        self.norms = [module for name, module in self.modules.items() if _is_norm(name, module)]
        self.mixing = [module for module in self.modules.values() if _mixes(module)]
        self.given: dict[int, list[Any]] = {}
        with _recorded(self.mixing, self.given):
            self.before, self.output = self._read()

    def of(self, names: list[str]) -> dict[str, str]:
        """Layers → what each is excused by, or nothing."""
        found = {name: self._excuse(name) for name in names}
        held = {_role(name) for name, why in found.items() if why == HELD}
        return {name: why or (HELD if _role(name) in held else "") for name, why in found.items()}

    def _excuse(self, name: str) -> str:
        layer = self.modules.get(name)
        above = self.modules.get(name.rpartition(".")[0])
        if layer is None:
            return ""
        if getattr(layer, "out_channels", 0) == 1 or 1 in {getattr(above, key, 0) for key in ("num_heads", "heads")}:
            return ONE
        weight, made = _channels(layer)
        if weight is None:
            return ""
        if weight.shape[made] == 1:
            return ONE
        with _changed(layer, weight):
            if torch.equal(self._read()[1], self.output):
                return UNUSED
        others = [m for m in self.mixing if not any(p is weight for p in m.parameters())]
        with _changed(layer, weight.select(made, 0)), _replayed(others, self.given):
            return self._reached(self._read()[0], weight.shape[made])

    def _read(self) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What norms read, and the output."""
        found: list[torch.Tensor] = []
        hooks = [norm.register_forward_pre_hook(lambda _, given: found.append(given[0].clone())) for norm in self.norms]
        try:
            with torch.no_grad():
                return found, output_of(self.model, self.example)
        finally:
            for hook in hooks:
                hook.remove()

    def _reached(self, after: list[torch.Tensor], rows: int) -> str:
        for old, new in zip(self.before, after, strict=True):
            changed = old != new
            if not changed.any():
                continue
            for dim in {old.ndim - 1, 1} if old.ndim == 4 else {old.ndim - 1}:
                if old.shape[dim] >= rows and 0 < _fewest(changed, dim) <= min(FEW, old.shape[dim] - 1):
                    return HELD
            if any(old.shape[d] == rows and not changed.select(d, rows - 1).any() for d in range(1, old.ndim - 1)):
                return POSITIONS
        return ""


def _fewest(changed: torch.Tensor, dim: int) -> int:
    """How many channels of a position change, where any does: of the position where the fewest do."""
    counts = changed.sum(dim)
    return int(counts[counts > 0].min())


@contextmanager
def _changed(layer: nn.Module, part: torch.Tensor) -> Iterator[None]:
    """Within, a part of a layer's weight is a quarter larger."""
    state = copy.deepcopy(layer.state_dict())
    with torch.no_grad():
        part.mul_(1.25)
    try:
        yield
    finally:
        layer.load_state_dict(state)


@contextmanager
def _recorded(modules: list[nn.Module], given: dict[int, list[Any]]) -> Iterator[None]:
    """Within, what these modules give is kept, call by call."""

    def keep(module: nn.Module, _: Any, out: Any) -> None:
        given.setdefault(id(module), []).append(out)

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(keep).remove)
        yield


@contextmanager
def _replayed(modules: list[nn.Module], given: dict[int, list[Any]]) -> Iterator[None]:
    """Within, these modules give what they gave."""
    calls = {key: iter(outs) for key, outs in given.items()}

    def answer(module: nn.Module, _: Any, out: Any) -> Any:
        return next(calls[id(module)], out) if id(module) in calls else out

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(answer).remove)
        yield


def _is_norm(name: str, module: nn.Module) -> bool:
    """Whether a module is called a norm, and is neither a block with one, nor one of each channel or of weights."""
    called = "Norm" in type(module).__name__ and "parametrizations" not in name
    return called and not isinstance(module, BY_CHANNEL) and not any(_mixes(part) for part in module.modules())


def _mixes(module: nn.Module) -> bool:
    """Whether a module gives each channel something of others; a depthwise convolution does not."""
    if isinstance(module, nn.modules.conv._ConvNd) and module.groups > 1:
        return module.groups != module.in_channels
    return isinstance(module, MIXING) or type(module).__name__ == "Conv1D"


def _role(name: str) -> str:
    """What layers of repeated blocks have in common."""
    return ".".join("#" if part.isdigit() else part for part in name.split("."))


def _channels(layer: nn.Module) -> tuple[nn.Parameter | None, int]:
    """The parameter that makes a layer's channels, and their dimension: the last of a parameter that stands alone."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, nn.Parameter):
        own = [p for p in layer.parameters(recurse=False) if p.ndim > 1]
        return (own[0] if own else None), -1
    last = type(layer).__name__ == "Conv1D" or getattr(layer, "transposed", False) or isinstance(layer, nn.Embedding)
    return weight, 1 if last else 0
