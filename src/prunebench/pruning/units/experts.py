"""Experts: networks of a layer that a router chooses among. One goes with its row of what scores them.

It is masked by a score of −∞, so that it is never chosen and has no share of what is shared out; the rest is chosen
among as before. Layers are known whose experts lie along the first dimension of each of their parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from prunebench.models.known_layers import KNOWN
from prunebench.pruning.units.groups import Group, Part
from prunebench.pruning.units.modes import preserved
from prunebench.pruning.units.record import call

aten = torch.ops.aten
PRODUCTS = (aten.mm.default, aten.addmm.default, aten.bmm.default, aten.linear.default)
STACKED = 3
"""Dimensions that parameters have at least which hold a matrix per expert."""


def find_experts(model: nn.Module, inputs: Any) -> list[Group]:
    """A group for each layer of experts of a model, whose units are its experts; as many stay as a token is sent to.

    Args:
        inputs: on which the model runs.
    """
    holders = {path: count for path, module in model.named_modules() if (count := _experts_of(module))}
    if not holders:
        return []
    chosen = _chosen(model, inputs)
    groups = (_group(model, path, count, chosen[count]) for path, count in holders.items() if count in chosen)
    return [group for group in groups if group is not None]


def _experts_of(module: nn.Module) -> int:
    """How many matrices lie in each parameter of a module along the first dimension; 0 where it is another layer."""
    counts = {p.shape[0] for p in module.parameters(recurse=False) if p.ndim >= STACKED}
    if len(counts) != 1 or isinstance(module, tuple(kind for kind, _ in KNOWN)):
        return 0
    return count if (count := counts.pop()) > 1 else 0


class _Choices(TorchFunctionMode):
    """Notes among how many things some are chosen, and how many."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "topk":
            of = args[0] if args else kwargs["input"]
            k = args[1] if len(args) > 1 else kwargs["k"]
            self.found[of.shape[-1]] = max(int(k), self.found.get(of.shape[-1], 0))
        return func(*args, **kwargs)


def _chosen(model: nn.Module, inputs: Any) -> dict[int, int]:
    """Numbers of things among which the model chooses → how many at most."""
    choices = _Choices()
    with preserved(model), torch.no_grad(), choices:
        call(model.eval(), inputs)
    return choices.found


def _group(model: nn.Module, path: str, count: int, least: int) -> Group | None:
    """The experts of a layer with their router, if that is told apart."""
    above = path.rpartition(".")[0]
    beside = dict(model.get_submodule(above).named_modules(prefix=above))
    routers = [
        (name, key, dim)
        for name, module in beside.items()
        for key, parameter in module.named_parameters(recurse=False)
        for dim in range(2)
        if name != path and parameter.ndim == 2 and parameter.shape[dim] == count != parameter.shape[1 - dim]
    ]
    if len(routers) != 1:
        return None
    router, key, dim = routers[0]
    places = [(path, name, 0) for name, p in model.get_submodule(path).named_parameters(recurse=False)]
    places += [(router, key, dim)]
    own = beside[router]
    places += [
        (router, name, 0)
        for name, tensor in [*own.named_parameters(recurse=False), *own.named_buffers(recurse=False)]
        if tuple(tensor.shape) == (count,)
    ]
    every, routes = torch.arange(count), (router, key)
    parts = tuple(Part(_name(at, name), d, every, every, (at, name) == routes) for at, name, d in places)
    known = dict([*model.named_parameters(), *model.named_buffers()])
    if any(part.parameter not in known or known[part.parameter].shape[part.dim] != count for part in parts):
        return None  # tied to something else, or no expert's
    return Group(f"{path} experts", "experts", count, parts, (path, router), least)


def _name(module: str, key: str) -> str:
    return f"{module}.{key}" if module else key


class _Unrouted(TorchDispatchMode):
    def __init__(self, routers: Mapping[int, tuple[int, torch.Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.routers = routers

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in PRODUCTS:
            for value in args:
                count, gone = self.routers.get(_storage(value), (0, None))
                if gone is not None and out.shape[-1] == count:
                    out = out.index_fill(-1, gone, -torch.inf)
        return out


def _storage(value: Any) -> int:
    return value.untyped_storage().data_ptr() if isinstance(value, torch.Tensor) else -1


@contextlib.contextmanager
def unrouted(groups: Sequence[Group], doomed: Mapping[str, Sequence[int]], known: Mapping[str, Any]) -> Iterator[None]:
    """Within, the experts that go have a score of −∞.

    Args:
        known: parameters and buffers by name.
    """
    routers = {
        _storage(known[part.parameter]): (group.units, torch.as_tensor(sorted(doomed[group.name])))
        for group in groups
        for part in group.parts
        if group.kind == "experts" and part.reads and doomed.get(group.name)
    }
    with _Unrouted(routers) if routers else contextlib.nullcontext():
        yield
