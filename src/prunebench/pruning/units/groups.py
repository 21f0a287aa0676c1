"""Groups of units, as data: where in the parameters and buffers each unit stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from prunebench.pruning.units.analysis import Roles
from prunebench.pruning.units.nodes import Links

Kind = Literal["channels", "neurons", "heads", "groups", "experts"]
Key = tuple[str, int]
"""A parameter or buffer, and a dimension of it."""

Build = tuple[tuple[Key, int], ...]
"""What a unit consists of: how many positions of which keys."""


@dataclass(frozen=True)
class Part:
    """Positions `index` along dimension `dim` of a parameter or buffer belong to the units `unit`, one by one.

    `reads` says that an operation reads the units there: where they are zero, the units are masked.
    """

    parameter: str
    dim: int
    index: torch.Tensor
    unit: torch.Tensor
    reads: bool

    def sums(self, scores: torch.Tensor, units: int) -> torch.Tensor:
        """The scores of the parameter summed up per unit, shape (units,)."""
        other = [d for d in range(scores.ndim) if d != self.dim]
        positions = scores.sum(other) if other else scores
        picked = positions[self.index.to(scores.device)]
        total = torch.zeros(units, device=scores.device, dtype=scores.dtype)
        return total.index_add_(0, self.unit.to(scores.device), picked)


@dataclass(frozen=True)
class Group:
    """Units of the same build: each has as many positions in each part as any other.

    Attributes:
        name: the first layer that makes the units, with a number if another group has the same.
        modules: all layers that make them.
        least: how many units stay at least.
    """

    name: str
    kind: Kind
    units: int
    parts: tuple[Part, ...]
    modules: tuple[str, ...]
    least: int = 1


@dataclass(frozen=True)
class Spared:
    """Layers whose outputs are not pruned, and why."""

    modules: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Units:
    """All that can be removed of a model, and what cannot.

    Attributes:
        passes: forward passes that it took to find them.
        reshapes: where the model's own code asks for sizes that are numbers of units of a group.
    """

    groups: tuple[Group, ...]
    spared: tuple[Spared, ...]
    passes: int
    seconds: float
    reshapes: Callable[[Group], tuple[Any, ...]] = lambda group: ()


def module_of(parameter: str) -> str:
    """The layer that a parameter belongs to."""
    layer, found, _ = parameter.rpartition(".parametrizations.")
    if not found and parameter.startswith("parametrizations."):
        return ""
    return layer if found else parameter.rpartition(".")[0]


def form(
    links: Links, roles: Roles, order: list[str], known: frozenset[str] = frozenset()
) -> tuple[tuple[Group, ...], tuple[Spared, ...]]:
    """Groups of units from what hangs together.

    Args:
        order: names of parameters and buffers as the model has them.
        known: first layers of groups that had more units once; with one unit left, others are spared.
    """
    place = {name: i for i, name in enumerate(order)}
    content, barred = _content(links, place)
    same: dict[Build, list[int]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for label, parts in content.items():
        made = [key for key, _ in parts if key in roles.makers]
        if made and label not in barred and any(key in roles.readers for key, _ in parts):
            same[tuple((key, len(positions)) for key, positions in parts)].append(label)
        for name, _ in made if label in barred else ():
            reasons.setdefault(module_of(name), barred[label])
        for name, _ in made:
            reasons.setdefault(module_of(name), "nothing that is followed reads its channels")
    groups = []
    for build, members in same.items():
        made = [key for key, _ in build if key in roles.makers]
        if len(members) > 1 or module_of(made[0][0]) in known:
            groups.append(_group(build, [content[label] for label in members], made, roles))
        else:
            reasons |= {module_of(name): "its channels hang together" for name, _ in made}
    groups.sort(
        key=lambda g: min(place[part.parameter] for part in g.parts if (part.parameter, part.dim) in roles.makers)
    )
    pruned = {module for group in groups for module in group.modules}
    spared: dict[str, list[str]] = defaultdict(list)
    for module, reason in reasons.items():
        if module not in pruned:
            spared[reason].append(module)
    return _named(groups), tuple(Spared(tuple(modules), reason) for reason, modules in spared.items())


def _content(links: Links, place: dict[str, int]) -> tuple[dict[int, list[tuple[Key, np.ndarray]]], dict[int, str]]:
    """What each component holds, and those that must stay, with the reason."""
    labels = links.components()
    barred: dict[int, str] = {}
    for nodes, reason in links.barred:
        for label in np.unique(labels[nodes.numpy()]).tolist():
            barred.setdefault(label, reason)
    keys: list[Key] = [(key[1], key[2]) for key in links.bases if key[0] == "leaf"]
    content: dict[int, list[tuple[Key, np.ndarray]]] = defaultdict(list)
    for name, dim in sorted(keys, key=lambda key: (place[key[0]], key[1])):
        base, count = links.bases["leaf", name, dim]
        own = labels[base : base + count]
        by_label = np.argsort(own, kind="stable")
        starts = np.nonzero(np.diff(own[by_label], prepend=-1))[0]
        for label, positions in zip(own[by_label][starts].tolist(), np.split(by_label, starts[1:]), strict=True):
            content[label].append(((name, dim), positions))
    return content, barred


def _group(build: Build, members: list[list[tuple[Key, np.ndarray]]], made: list[Key], roles: Roles) -> Group:
    first = next(i for i, (key, _) in enumerate(build) if key in made)
    members = sorted(members, key=lambda parts: int(parts[first][1][0]))
    parts = []
    for i, ((name, dim), size) in enumerate(build):
        index = torch.from_numpy(np.concatenate([member[i][1] for member in members]))
        unit = torch.arange(len(members)).repeat_interleave(size)
        parts.append(Part(name, dim, index, unit, (name, dim) in roles.readers))
    modules = tuple(dict.fromkeys(module_of(name) for name, _ in made))
    sizes = dict(build)
    kind: Kind = "neurons" if made[0][0] in roles.linear else "channels"
    if any(name in roles.attended and sizes[name, dim] > 1 for name, dim in made):
        kind = "heads"
    elif any(name in roles.grouped and sizes[name, dim] > 1 for name, dim in made):
        kind = "groups"
    return Group(modules[0], kind, len(members), tuple(parts), modules)


def _named(groups: list[Group]) -> tuple[Group, ...]:
    """Groups whose names differ."""
    seen: dict[str, int] = defaultdict(int)
    found = []
    for group in groups:
        seen[group.name] += 1
        name = group.name if seen[group.name] == 1 else f"{group.name} {seen[group.name]}"
        found.append(replace(group, name=name))
    return tuple(found)
