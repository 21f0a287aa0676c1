"""Reshaping: modules whose own code asks for sizes that pruning has changed.

`x.reshape(batch, n, 3, heads, width // heads)` asks for as many heads as the model was written with, whatever is left
of them. Such a module runs its own code as it is, and gets other sizes where it asks for these: the calls are counted,
since the same code asks in the same order, and a module that takes another path than it took is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import msgspec
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Size = Annotated[int, msgspec.Meta(gt=0)]

FIRST: dict[Any, tuple[int, str]] = {
    **dict.fromkeys((torch.Tensor.view, torch.Tensor.reshape, torch.reshape, torch.Tensor.expand), (1, "shape")),
    **dict.fromkeys((torch.Tensor.unflatten, torch.unflatten), (2, "sizes")),
    torch.Tensor.split: (1, "split_size"),
    torch.split: (1, "split_size_or_sections"),
    torch.Tensor.split_with_sizes: (1, "split_sizes"),
    torch.split_with_sizes: (1, "split_sizes"),
}
"""Functions that are asked for sizes: where the first of them stands among the arguments, and what they are called."""


class Reshaping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a module gets instead of what it asks for.

    Attributes:
        calls: how often it asks for sizes in one forward pass, the modules inside it included.
        sizes: number of the call, from 0 → place among the sizes → the size it gets.
    """

    calls: Size
    sizes: dict[int, dict[int, Size]]


def asked(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
    """The sizes that a call asks for; None where it asks for none."""
    if function not in FIRST:
        return None
    first, name = FIRST[function]
    sizes = args[first:] if first < len(args) else (kwargs.get(name),)
    if first == 1 and len(sizes) > 1 and name != "shape":
        sizes = sizes[:1]  # split(sizes, dim)
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    return None if any(size is None or isinstance(size, torch.dtype) for size in sizes) else sizes


def dimensions(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int | None]:
    """The dimension that the first size is of; and the one that is split, where one is."""
    first, name = FIRST[function]
    if name == "shape":
        return 0, None
    dim = args[first - 1] if first == 2 and len(args) > 1 else args[2] if first == 1 and len(args) > 2 else None
    dim = kwargs.get("dim", 0) if dim is None else dim
    return (dim, None) if first == 2 else (0, dim)


def _given(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: tuple[Any, ...]) -> tuple[Any, Any]:
    """The arguments of a call with other sizes."""
    first, name = FIRST[function]
    if first >= len(args):
        was = kwargs[name]
        return args, {**kwargs, name: sizes if isinstance(was, list | tuple) else sizes[0]}
    if isinstance(args[first], list | tuple):
        return (*args[:first], list(sizes), *args[first + 1 :]), kwargs
    return (*args[:first], *sizes, *args[first + len(sizes) :]), kwargs


class _Sizes(TorchFunctionMode):
    def __init__(self, how: Reshaping) -> None:
        super().__init__()
        self.how, self.calls = how, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        sizes = asked(func, args, kwargs)
        if sizes is not None:
            if (mine := self.how.sizes.get(self.calls)) is not None:
                given = tuple(mine.get(place, size) for place, size in enumerate(sizes))
                args, kwargs = _given(func, args, kwargs, given)
            self.calls += 1
        return func(*args, **kwargs)


def reshaped(module: nn.Module, how: Reshaping) -> None:
    """Make a module get other sizes than it asks for; again, other ones."""
    module.__dict__["_reshaping"] = how
    if not getattr(type(module), "_is_reshaped", False):
        module.__class__ = _reshaped(type(module))  # type: ignore[arg-type]


def reshaping_of(module: nn.Module) -> Reshaping | None:
    """What a module gets instead of what it asks for; None where it gets that."""
    found: Reshaping | None = module.__dict__.get("_reshaping")
    return found


def reshapings_of(model: nn.Module) -> dict[str, Reshaping]:
    """The modules of a model that get other sizes than they ask for."""
    return {path: how for path, module in model.named_modules() if (how := reshaping_of(module)) is not None}


@cache
def _reshaped(kind: type[nn.Module]) -> type[nn.Module]:
    """The same module, except that it gets other sizes; it is called the same."""
    run: Callable[..., Any] = kind.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _Sizes(self._reshaping) as sizes:
            out = run(self, *args, **kwargs)
        if sizes.calls != self._reshaping.calls:
            raise RuntimeError(
                f"{kind.__name__} takes another path than the one that was proved: it asks for sizes {sizes.calls} "
                f"times, not {self._reshaping.calls}"
            )
        return out

    about = {"forward": forward, "_is_reshaped": True, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), about)
