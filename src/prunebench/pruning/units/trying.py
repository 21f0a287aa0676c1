"""Trying: integers of modules that equal an old size, and whether the model is right if they follow."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from prunebench.models.known_layers import KNOWN
from prunebench.models.sizes import integers
from prunebench.pruning.units.groups import Group, module_of
from prunebench.pruning.units.removal import Binding

MOST = 6
"""Attributes that are tried together, at most."""


SPOKEN = {
    "heads": ("num_attention_heads", "num_heads", "n_heads", "n_head", "heads", "all_head_size"),
    "experts": ("num_experts", "num_local_experts", "n_routed_experts"),
}


def candidates(model: nn.Module, group: Group, read: frozenset[tuple[str, str]] | None = None) -> list[Binding]:
    """Attributes of the modules around a group's parameters that equal one of its sizes, the nearest first.

    Args:
        read: those that the model reads while it runs, as `reads` tells; all if None.
    """
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    modules = dict(model.named_modules())
    found: dict[tuple[str, str], Binding] = {}
    owners = dict.fromkeys(module_of(part.parameter) for part in group.parts)
    paths = {path for owner in owners for path in _above(owner)}
    for path in sorted(paths, key=lambda p: -p.count(".") if p else 1):
        module = modules.get(path)
        if module is None or isinstance(module, tuple(kind for kind, _ in KNOWN)):
            continue
        for key, value in integers(module).items():
            if read is not None and (path, key) not in read:
                continue
            if value == group.units:
                found.setdefault((path, key), Binding(path, key, group.name))
            for part in group.parts:
                inside = not path or part.parameter.startswith(path + ".")
                if inside and value == tensors[part.parameter].shape[part.dim] > 1:
                    found.setdefault((path, key), Binding(path, key, group.name, part.parameter, part.dim))
    return list(found.values())


def spoken(model: nn.Module, group: Group) -> list[Binding]:
    """Attributes that tell of the heads or experts of a group, as they are usually called: they follow even where the
    model runs without."""
    names = SPOKEN.get(group.kind, ())
    return [b for b in candidates(model, group) if b.attribute in names] if names else []


@contextlib.contextmanager
def reads(model: nn.Module) -> Iterator[set[tuple[str, str]]]:
    """Within, attributes of modules that are read are noted, by module and name."""
    found: set[tuple[str, str]] = set()
    kinds = {module: type(module) for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)}
    try:
        for path, module in model.named_modules():
            if module in kinds:
                module.__class__ = _noting(kinds[module], path, found)
        yield found
    finally:
        for module, kind in kinds.items():
            module.__class__ = kind


def _noting(kind: type[nn.Module], path: str, found: set[tuple[str, str]]) -> Any:
    def get(self: Any, name: str) -> Any:
        found.add((path, name))
        return kind.__getattribute__(self, name)

    return type(kind.__name__, (kind,), {"__getattribute__": get, "__module__": kind.__module__})


def _above(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def tried(options: Sequence[Binding], works: Callable[[tuple[Binding, ...]], bool]) -> tuple[Binding, ...] | None:
    """The first combination with which the model is right: all, all but one, one, two."""
    options = tuple(options[:MOST])
    sizes = dict.fromkeys([len(options), len(options) - 1, 1, 2])
    order = [choice for size in sizes if 0 < size <= len(options) for choice in itertools.combinations(options, size)]
    return next((choice for choice in order if works(choice)), None)
