"""Copies of a model for proofs: fresh weights in double precision; copies that share their tensors."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from prunebench.pruning.units.grouped import grouped, is_grouped

LOW = (torch.float16, torch.bfloat16, torch.float32)


def fresh(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in double precision on the CPU, its parameters random and none at zero; most buffers stay."""
    generator = torch.Generator().manual_seed(seed)
    memo: dict[int, Any] = {}
    for value in _computed(model):
        memo[id(value)] = value.detach().double() if value.is_floating_point() else value.detach()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        memo[id(tensor)] = _fresh(name, tensor, generator)
    return copy.deepcopy(model, memo).double()  # scripted parts are copied as they are


def _fresh(name: str, tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    shape = tuple(tensor.shape)
    if not tensor.is_floating_point():
        return tensor.detach().cpu().clone()
    if isinstance(tensor, nn.Parameter):
        if len([n for n in shape if n > 1]) < 2:
            values = torch.rand(shape, generator=generator, dtype=torch.float64).add_(0.5)
        else:
            scale = (tensor.numel() / shape[0]) ** -0.5
            values = torch.randn(shape, generator=generator, dtype=torch.float64).mul_(1.4 * scale)
        return nn.Parameter(values, tensor.requires_grad)
    if name.endswith("running_var"):
        return torch.rand(shape, generator=generator, dtype=torch.float64).add_(0.5)
    if name.endswith("running_mean"):
        return torch.randn(shape, generator=generator, dtype=torch.float64).mul_(0.1)
    return tensor.detach().double().cpu().clone()


def settle(model: nn.Module, run: Callable[[nn.Module], object]) -> None:
    """Give batch norms the statistics of the data that they see, so that values neither grow nor vanish with depth."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_var is not None]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        run(model)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
            if norm.running_var is not None:
                norm.running_var.nan_to_num_(1.0).clamp_(min=0.1)


def doubled(inputs: Any) -> Any:
    """Inputs on the CPU, those of floating-point numbers in double precision."""
    return tree_map(lambda value: value.detach().cpu().double() if is_float(value) else value, inputs)


def is_float(value: Any) -> bool:
    """Whether a value is a tensor of floating-point numbers."""
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def sharing(model: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are the very same tensors; others may be put in their places."""
    memo: dict[int, Any] = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    memo |= {id(t): t.detach() for t in _computed(model)}
    return copy.deepcopy(model, memo)


def hollow(model: nn.Module) -> nn.Module:
    """A copy without values of its parameters, to be filled from a state; buffers are copies."""
    memo: dict[int, Any] = {id(t): nn.Parameter(t.detach().to("meta"), t.requires_grad) for t in model.parameters()}
    memo |= {id(t): t.detach().clone() for t in model.buffers()}
    memo |= {id(t): t.detach() for t in _computed(model)}
    return copy.deepcopy(model, memo)


def _computed(model: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors that modules hold beside parameters and buffers, such as weights that hooks compute, or what is kept for
    evaluation: they may be no leaves, which cannot be copied."""
    known = {id(tensor) for tensor in [*model.parameters(), *model.buffers()]}
    for module in model.modules():
        held = [value for name, value in vars(module).items() if name not in ("_parameters", "_buffers", "_modules")]
        for value in tree_flatten(held)[0]:
            if isinstance(value, torch.Tensor) and id(value) not in known:
                yield value


class _Doubles(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("dtype") in LOW:
            kwargs = {**kwargs, "dtype": torch.float64}
        if is_grouped(func, args):
            with self:
                return grouped(*args, **kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def doubles() -> Iterator[None]:
    """Within, whatever a model casts to a lower precision stays double; random numbers start anew."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.random.fork_rng(devices=[]), _Doubles():  # type: ignore[no-untyped-call]
            torch.manual_seed(0)
            yield
    finally:
        torch.set_default_dtype(default)
