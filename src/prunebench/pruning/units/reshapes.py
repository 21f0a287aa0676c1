"""Reshapes: where a model's own code asks for sizes that are numbers of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from prunebench.models.reshaping import Reshaping, reshaped, reshaping_of
from prunebench.pruning.units.analysis import Analysis
from prunebench.pruning.units.groups import Group
from prunebench.pruning.units.record import Call
from prunebench.pruning.units.words import along, codes, compact, decode, gathered


@dataclass(frozen=True)
class Reshape:
    """In the forward of a module the `call`-th of `calls` reshapings asks, in `place`, for a size that is a number of
    units of a group: `each` of them is so many."""

    module: str
    call: int
    calls: int
    place: int
    asked: int
    group: str
    each: int


def reshapes(analyses: Sequence[Analysis], group: Group) -> tuple[Reshape, ...]:
    """The sizes that hold units of a group; none where paths of the model do not agree."""
    found = [_reshapes(at, group) for at in analyses]
    return found[0] if all(each == found[0] for each in found) else ()


def _reshapes(at: Analysis, group: Group) -> tuple[Reshape, ...]:
    words = at.follow(_starts(at, group)).words
    found: dict[tuple[str, int, int], Reshape | None] = {}
    for call in at.graph.calls:
        calls = at.graph.forwards[call.module]
        for place, each in _places(call, words, group.units):
            key = (call.module, call.number, place)
            mine = Reshape(call.module, call.number, calls, place, call.sizes[place], group.name, each)
            found[key] = mine if calls and found.get(key, mine) == mine else None
    return tuple(each for each in found.values() if each is not None)


def _starts(at: Analysis, group: Group) -> dict[int, torch.Tensor]:
    """The units of a group in all that makes them, and in what stands beside them."""
    unit: dict[tuple[str, int], np.ndarray] = {}
    for part in group.parts:
        whole: np.ndarray = np.full(int(part.index.max()) + 1, -1)
        whole[part.index.numpy()] = part.unit.numpy()
        unit[part.parameter, part.dim] = whole
    starts = {}
    for index, made_by in at.rows_by.items():
        rows = np.full(at.mixings[index].rows, -1)
        for name, dim, ids in made_by:
            of = unit.get((name, dim))
            if of is not None:
                slices = np.frombuffer(ids, dtype=np.int64)
                known = (slices >= 0) & (slices < len(of))
                rows[known] = np.maximum(rows[known], of[slices[known]])
        if (rows >= 0).any():
            mixing = at.mixings[index]
            starts[mixing.node.outputs[0]] = mixing.made(codes(torch.from_numpy(rows), group.units))
    weights = {name for name, _ in at.roles.makers | at.roles.readers}
    for (name, dim), of in unit.items():
        if name not in weights:
            tensor = at.graph.leaves[name]
            shape = at.graph.infos[tensor].shape
            held: np.ndarray = np.full(shape[dim], -1)
            held[: len(of)] = of
            starts[tensor] = along(dim, torch.from_numpy(held), group.units, shape)
    return starts


def _places(call: Call, words: Mapping[int, torch.Tensor], units: int) -> Iterator[tuple[int, int]]:
    """Places among the sizes that hold units, and how often each."""
    for i, tensor in enumerate(call.outputs):
        if (held := words.get(tensor)) is None:
            continue
        if call.dim is not None:  # it splits a dimension: a size for each part, or one for all
            places = [(min(i, len(call.sizes) - 1), call.dim % held.ndim)]
        else:
            first = call.first % (held.ndim - len(call.sizes) + 1)  # counted in what is reshaped
            places = [(place, first + place) for place in range(len(call.sizes))]
        for place, dim in places:
            each = _each(held, dim, units)
            if each and isinstance(call.sizes[place], int) and call.sizes[place] > 0:
                yield place, each


def _each(words: torch.Tensor, dim: int, units: int) -> int:
    """How many indices along a dimension each unit has; 0 where it does not tell them apart."""
    words = compact(words)
    profile = gathered(words, [d for d in range(words.ndim) if d != dim]).reshape(-1)
    ids, several = decode(profile, units)
    if len(profile) < units or bool(several.any()):
        return 0
    counts = torch.bincount(ids[ids >= 0], minlength=units)
    return int(counts[0]) if bool((counts == counts[0]).all()) else 0


def follow_reshapes(model: nn.Module, bindings: Sequence[Reshape], gone: Mapping[str, int]) -> None:
    """Let modules get the sizes that are left.

    Args:
        gone: group's name → how many of its units have just been removed.
    """
    modules = dict(model.named_modules())
    for each in bindings:
        if gone.get(each.group):
            module = modules[each.module]
            now = reshaping_of(module) or Reshaping(each.calls, {})
            mine = now.sizes.get(each.call, {})
            size = mine.get(each.place, each.asked) - each.each * gone[each.group]
            reshaped(module, Reshaping(now.calls, {**now.sizes, each.call: {**mine, each.place: size}}))
