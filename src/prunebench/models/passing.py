"""Passing: modules that were removed, and hand on what they are given.

A removed block keeps its place and its name, so that those of all others stay, but holds nothing any more: its output
is its first argument. Where it gave a tuple, what stood beside its first output is gone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import msgspec
from torch import nn

from prunebench.errors import RunError

Outputs = Annotated[int, msgspec.Meta(ge=0, le=64)]
"""What a module gives: 0 for a tensor, else a tuple of so many, the first of which matters."""


def first_argument(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a module is given first, by place or by name; None where it is given nothing."""
    return args[0] if args else kwargs.get(_first_name(type(module)))


def pass_on(module: nn.Module, outputs: int) -> None:
    """Make a module hand on what it is given; what it holds goes. Plain attributes stay, for who reads them."""
    for own in (module._parameters, module._buffers, module._modules):
        own.clear()
    module._non_persistent_buffers_set.clear()
    module.__dict__.pop("_reshaping", None)
    module.__dict__["_passing"] = outputs
    module.__class__ = _passing(type(module))  # type: ignore[arg-type]


def is_passing(module: nn.Module) -> bool:
    """Whether a module was removed."""
    return "_passing" in module.__dict__


def passing_of(model: nn.Module) -> dict[str, int]:
    """The modules of a model that were removed, and what they give."""
    return {path: module.__dict__["_passing"] for path, module in model.named_modules() if is_passing(module)}


def pass_all_on(model: nn.Module, passing: Mapping[str, int]) -> None:
    """Remove the named modules of a full model, freshly built.

    Raises:
        RunError: it has no such modules.
    """
    modules = dict(model.named_modules())
    for path in passing:
        outer = any(path.startswith(f"{other}.") for other in passing)
        if not path or path not in modules or outer:
            raise RunError(f"The removed blocks do not fit: the model has no block {path!r}.")
    for path, outputs in passing.items():
        pass_on(modules[path], outputs)


def _first_name(kind: type[nn.Module]) -> str:
    """What a module calls its first argument."""
    names = list(inspect.signature(kind.forward).parameters)
    return names[1] if len(names) > 1 else ""


@cache
def _passing(kind: type[nn.Module]) -> type[nn.Module]:
    """The same module, except that it hands on what it is given; it is called the same."""
    name = _first_name(kind)

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs[name]
        return (given, *[None] * (self._passing - 1)) if self._passing else given

    about: dict[str, Any] = {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), about)
