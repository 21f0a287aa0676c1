"""Removal: slices go from parameters and buffers, and what says their sizes follows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed

import torch
from torch import nn

from prunebench.models.reshaping import reshapings_of
from prunebench.models.sizes import Sizes, integers, replace
from prunebench.pruning.units.experts import unrouted
from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.modes import forgetful
from prunebench.pruning.units.norms import narrowed
from prunebench.pruning.units.reshapes import Reshape, follow_reshapes

Doomed = Mapping[str, Sequence[int]]
"""Group's name → the units of it that go."""


Share = float | Callable[[Group], float]
"""The share of the units of every group, or of one."""


@dataclass(frozen=True)
class Binding:
    """An attribute of a module that says a size: of a parameter along a dimension, or how many units a group has."""

    module: str
    attribute: str
    group: str
    parameter: str | None = None
    dim: int = 0


Follows = Binding | Reshape
"""What must follow where units go."""


def remove(
    model: nn.Module, groups: Sequence[Group], doomed: Doomed, bindings: Sequence[Follows] = ()
) -> tuple[Group, ...]:
    """Remove units from a model, in place; parameters are replaced. What is left of the groups.

    Args:
        doomed: units by the name of their group.
        bindings: attributes that follow, beside those of known layers.
    """
    kept = staying(model, groups, doomed)
    replace(model, _sliced(model, kept))
    forgetful(model)
    left = tuple(_left(group, set(doomed.get(group.name, ())), kept) for group in groups)
    by_name = {group.name: group for group in left}
    modules, sized = dict(model.named_modules()), dict([*model.named_parameters(), *model.named_buffers()])
    gone_of = {group.name: len(set(doomed.get(group.name, ()))) for group in groups}
    follow_reshapes(model, [each for each in bindings if isinstance(each, Reshape)], gone_of)
    for binding in bindings:
        if isinstance(binding, Binding) and binding.group in by_name:
            size = sized[binding.parameter].shape[binding.dim] if binding.parameter else by_name[binding.group].units
            modules[binding.module].__dict__[binding.attribute] = int(size)
    return left


def staying(model: nn.Module, groups: Sequence[Group], doomed: Doomed) -> dict[str, dict[int, torch.Tensor]]:
    """Of parameters and buffers that lose some, what stays: name → dimension → bool of the dimension's size."""
    shapes = shapes_of(model)
    kept: dict[str, dict[int, torch.Tensor]] = {}
    for (name, dim), positions in _positions(groups, doomed).items():
        stays = torch.ones(shapes[name][dim], dtype=torch.bool)
        stays[positions] = False
        kept.setdefault(name, {})[dim] = stays
    return kept


def _sliced(model: nn.Module, kept: Mapping[str, Mapping[int, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, dims in kept.items():
        path, _, key = name.rpartition(".")
        tensor = getattr(model.get_submodule(path), key).detach()
        for dim, stays in dims.items():
            tensor = tensor.index_select(dim, stays.nonzero()[:, 0].to(tensor.device))
        yield name, tensor


def _positions(groups: Sequence[Group], doomed: Doomed) -> dict[tuple[str, int], torch.Tensor]:
    found: dict[tuple[str, int], list[torch.Tensor]] = {}
    for group in groups:
        units = torch.as_tensor(sorted(doomed.get(group.name, ())), dtype=torch.int64)
        if len(units):
            for part in group.parts:
                found.setdefault((part.parameter, part.dim), []).append(part.index[torch.isin(part.unit, units)])
    return {key: torch.cat(parts) for key, parts in found.items()}


def _left(group: Group, doomed: set[int], kept: Mapping[str, Mapping[int, torch.Tensor]]) -> Group:
    stays = torch.tensor([unit not in doomed for unit in range(group.units)])
    number = stays.long().cumsum(0) - 1
    parts = []
    for part in group.parts:
        mine = stays[part.unit]
        index = part.index[mine]
        if (own := kept.get(part.parameter, {}).get(part.dim)) is not None:
            index = (own.long().cumsum(0) - 1)[index]
        parts.append(changed(part, index=index, unit=number[part.unit[mine]]))
    return changed(group, units=int(stays.sum()), parts=tuple(parts))


def _kept(
    groups: Sequence[Group], doomed: Doomed, known: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Which elements stay, of parameters with one dimension."""
    for (name, _), positions in _positions(groups, doomed).items():
        if known[name].ndim == 1:
            yield name, torch.ones(known[name].shape, dtype=torch.bool).index_fill_(0, positions, False)


@contextlib.contextmanager
def masked(model: nn.Module, groups: Sequence[Group], doomed: Doomed, *, back: bool = True) -> Iterator[None]:
    """Within, the units are zero where they are read; norms average over the others, and routers choose among them.

    Args:
        back: whether their values come back afterwards; those of units that are then removed need no memory.
    """
    known = dict([*model.named_parameters(), *model.named_buffers()])
    readers = [changed(g, parts=tuple(p for p in g.parts if p.reads)) for g in groups if g.kind != "experts"]
    was: list[tuple[torch.Tensor, int, torch.Tensor, torch.Tensor]] = []
    try:
        with torch.no_grad():
            for (name, dim), positions in _positions(readers, doomed).items():
                tensor, index = known[name], positions.to(known[name].device)
                if back:
                    was.append((tensor, dim, index, tensor.index_select(dim, index)))
                tensor.index_fill_(dim, index, 0)
        narrow = {known[name]: kept for name, kept in _kept(groups, doomed, known)}
        with narrowed(narrow), unrouted(groups, doomed, known):
            yield
    finally:
        with torch.no_grad():
            for tensor, dim, index, values in reversed(was):
                tensor.index_copy_(dim, index, values)


def shapes_of(model: nn.Module) -> dict[str, list[int]]:
    """Shapes of parameters and buffers, tied ones under their first name."""
    return {name: list(tensor.shape) for name, tensor in [*model.named_parameters(), *model.named_buffers()]}


def sizes_of(model: nn.Module, full: Mapping[str, list[int]], bindings: Sequence[Follows] = ()) -> Sizes:
    """What a pruned model differs in from the full one, whose `shapes_of` are given."""
    shapes = {name: shape for name, shape in shapes_of(model).items() if shape != full[name]}
    attributes: dict[str, dict[str, int]] = {}
    modules = dict(model.named_modules())
    for binding in bindings:
        if isinstance(binding, Reshape):
            continue
        value = integers(modules[binding.module]).get(binding.attribute)
        if value is not None:
            attributes.setdefault(binding.module, {})[binding.attribute] = value
    return Sizes(shapes, attributes, reshapings_of(model))


def shares(groups: Sequence[Group], fraction: Share, seed: int = 0, which: str = "any") -> dict[str, list[int]]:
    """A share of each group's units, at least one where not all must stay: the first or last ones; or any, drawn at
    random, and of heads about so many, since those of all layers are ranked together, and some lose more than others.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for group in groups:
        share = fraction if isinstance(fraction, float) else fraction(group)
        if which == "any" and group.kind == "heads":
            share *= 0.5 + float(torch.rand(1, generator=generator))
        count = min(group.units - group.least, max(1, round(share * group.units)))
        order = torch.randperm(group.units, generator=generator) if which == "any" else torch.arange(group.units)
        found[group.name] = sorted((order[group.units - count :] if which == "last" else order[:count]).tolist())
    return found
