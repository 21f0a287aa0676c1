"""Finding blocks: modules that add what they are given, as it is, to what they make of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from prunebench.models.passing import first_argument
from prunebench.models.sharing import first_names
from prunebench.pruning.units.copies import doubled, doubles, fresh, settle
from prunebench.pruning.units.groups import Spared
from prunebench.pruning.units.record import call, unfused

MOST = 64
"""Outputs of a module, at most."""

ALIKE = 1e-6
"""Relative difference below which an output does not tell its input."""


@dataclass(frozen=True)
class Block:
    """A residual block.

    Attributes:
        name: of the module.
        kind: of what class it is.
        outputs: 0 where it gives a tensor, else the length of the tuple that it gives.
        exact: it gives its input to the bit where all of its parameters are zero.
    """

    name: str
    kind: str
    outputs: int
    exact: bool


@dataclass
class _Ran:
    """One call of a module: what it was given, a copy of its first argument, and what came of it."""

    path: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    given: torch.Tensor | None
    version: int = 0
    first: torch.Tensor | None = None
    summed: bool = False
    outputs: int = 0
    alike: bool = False


class _Pass(TorchDispatchMode):
    """Notes the calls of one pass, and which of them add what they are given to something."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ran: list[_Ran] = []
        self.inside: list[_Ran] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor):
            for each in args[:2]:
                for ran in self.inside:
                    ran.summed |= isinstance(each, torch.Tensor) and _is(each, ran)
        return func(*args, **(kwargs or {}))

    def enter(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = first_argument(module, args, kwargs)
        ran = _Ran(path, module, args, kwargs, None)
        if isinstance(given, torch.Tensor) and given.is_floating_point() and given.ndim > 1:
            ran.given, ran.version, ran.first = given, given._version, given.clone()
        self.inside.append(ran)

    def leave(self, out: Any) -> None:
        ran = self.inside.pop()
        self.ran.append(ran)
        several = isinstance(out, tuple) and 0 < len(out) <= MOST
        made = out[0] if several else out
        ran.outputs = len(out) if several else 0
        if ran.first is not None and isinstance(made, torch.Tensor):
            ran.alike = (made.shape, made.dtype) == (ran.first.shape, ran.first.dtype)


def _is(tensor: torch.Tensor, ran: _Ran) -> bool:
    """Whether a tensor is what a module was given, or a view of all of it, and was not written to since."""
    given = ran.given
    return (
        given is not None
        and tensor.data_ptr() == given.data_ptr()
        and tensor.numel() == given.numel()
        and given._version == ran.version
    )


def find_blocks(model: nn.Module, inputs: Any) -> tuple[tuple[Block, ...], tuple[Spared, ...]]:
    """The blocks of a model, in the order in which they stand in it, and modules of the same classes that are none.

    Args:
        inputs: what the model runs on, one sample at least.
    """
    base = fresh(model).eval()
    inputs = doubled(inputs)
    with torch.no_grad(), doubles(), unfused(base):
        with contextlib.suppress(Exception):  # a channel of one value has no variance
            settle(base, lambda net: call(net, inputs))
        ran = _run(base, inputs)
        shared = _shared(base)
        times = Counter(each.path for each in ran)
        fit = [each for each in ran if each.summed and each.alike and times[each.path] == 1]
        found = {
            each.path: Block(each.path, type(each.module).__name__, each.outputs, exact)
            for each in fit
            if each.path not in shared and (exact := _exact(each)) is not None
        }
    chosen = _outermost(found)
    order = {path: i for i, (path, _) in enumerate(base.named_modules())}
    blocks = sorted((found[path] for path in chosen), key=lambda block: order[block.name])
    return tuple(blocks), _spared(base, blocks, ran, times, shared)


def _run(model: nn.Module, inputs: Any) -> list[_Ran]:
    watching, hooks = _Pass(), []
    for path, module in model.named_modules():
        if path and not isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.parameters()):

            def enter(module: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
                watching.enter(path, module, args, kwargs)

            hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            hooks.append(module.register_forward_hook(lambda module, args, out: watching.leave(out)))
    try:
        with watching:
            call(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return watching.ran


def _shared(model: nn.Module) -> set[str]:
    """Modules that hold parameters which stand elsewhere, too."""
    found: set[str] = set()
    for name, first in first_names(model).items():
        if name != first:
            above = [{path.rpartition(".")[0] for path in _above(each)} for each in (name, first)]
            found |= above[0] ^ above[1]
    return found


def _above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]


def _exact(ran: _Ran) -> bool | None:
    """Whether a module gives its input to the bit where its parameters are zero; None where it does not even tell it
    where those of two and more dimensions are."""
    assert ran.first is not None
    with zero(ran.module.parameters()):
        if torch.equal(_again(ran, ran.first), ran.first):
            return True
    with zero(p for p in ran.module.parameters() if p.ndim > 1):
        others = ran.first.flip(-1), ran.first * 0.5 + ran.first.roll(1, -1)
        outs = [_again(ran, given) for given in (ran.first, *others)]
    scale = float(outs[0].abs().max())
    apart = min(float((out - outs[0]).abs().max()) for out in outs[1:])
    return False if scale < float("inf") and apart > ALIKE * scale else None


def _again(ran: _Ran, given: torch.Tensor) -> torch.Tensor:
    """What a module makes of another first argument."""
    args, kwargs = ran.args, ran.kwargs
    if args:
        out = ran.module(given.clone(), *args[1:], **kwargs)
    else:
        name = next(key for key, value in kwargs.items() if value is ran.given)
        out = ran.module(**{**kwargs, name: given.clone()})
    found: torch.Tensor = out[0] if isinstance(out, tuple) else out
    return found


@contextlib.contextmanager
def zero(parameters: Iterator[nn.Parameter] | Sequence[nn.Parameter]) -> Iterator[None]:
    """Within, parameters are zero."""
    was = [(parameter, parameter.data) for parameter in parameters]
    try:
        for parameter, data in was:
            parameter.data = torch.zeros_like(data)
        yield
    finally:
        for parameter, data in was:
            parameter.data = data


def _outermost(found: Mapping[str, Block]) -> list[str]:
    """The outermost that hold no two others side by side; of one that is not exact, an exact one inside it."""
    inside = {path: [other for other in found if other.startswith(f"{path}.")] for path in found}
    fit = [
        path
        for path, others in inside.items()
        if all(b in inside[a] or a in inside[b] for a in others for b in others if a != b)
        and (found[path].exact or not any(found[other].exact for other in others))
    ]
    return [path for path in fit if not any(path in inside[other] for other in fit)]


def _spared(
    model: nn.Module, blocks: Sequence[Block], ran: Sequence[_Ran], times: Mapping[str, int], shared: set[str]
) -> tuple[Spared, ...]:
    """Modules of the classes of blocks, or that would be blocks ran they once, and why they are none."""
    kinds = {type(model.get_submodule(block.name)) for block in blocks}
    names = {block.name for block in blocks}
    why: dict[str, list[str]] = {}
    for each in {each.path: each for each in ran}.values():
        repeated = each.summed and each.alike and times[each.path] > 1
        if each.path in names or not (type(each.module) in kinds or (repeated and not blocks)):
            continue
        if not each.alike:
            why.setdefault("it gives another shape than it is given", []).append(each.path)
        elif repeated:
            why.setdefault(f"it runs {times[each.path]} times in a pass", []).append(each.path)
        elif each.path in shared:
            why.setdefault("it shares parameters with others", []).append(each.path)
        else:
            why.setdefault("its input does not pass through it", []).append(each.path)
    return tuple(Spared(tuple(modules), reason) for reason, modules in why.items())
