"""Groups of units, as data: where in the parameters and buffers each unit stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from prunebench.pruning.units.nodes import Links

Kind = Literal["channels", "neurons", "heads", "groups"]


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


@dataclass(frozen=True)
class Group:
    """Units of the same build: each has as many positions in each part as any other.

    Attributes:
        name: the first layer that makes the units.
        modules: all layers that make them.
    """

    name: str
    kind: Kind
    units: int
    parts: tuple[Part, ...]
    modules: tuple[str, ...]


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
    """

    groups: tuple[Group, ...]
    spared: tuple[Spared, ...]
    passes: int
    seconds: float


def module_of(parameter: str) -> str:
    """The layer that a parameter belongs to."""
    return parameter.partition(".parametrizations.")[0] if ".parametrizations." in parameter else parameter.rpartition(".")[0]


def form(
    links: Links,
    makers: Iterable[tuple[str, int]],
    readers: set[tuple[str, int]],
    attended: set[str],
    order: list[str],
) -> tuple[tuple[Group, ...], tuple[Spared, ...]]:
    """Groups of units from what hangs together.

    Args:
        makers: parameters and dimensions along which an operation makes channels.
        readers: those along which one reads channels.
        attended: parameters whose channels go through a product of data with data.
        order: names of parameters as the model has them.
    """
    labels, makers = links.components(), set(makers)
    place = {name: i for i, name in enumerate(order)}
    barred: dict[int, str] = {}
    for nodes, reason in links.barred:
        for label in np.unique(labels[nodes.numpy()]).tolist():
            barred.setdefault(label, reason)
    keys = sorted(((k[1], k[2]) for k in links.bases if k[0] == "leaf"), key=lambda k: (place[k[0]], k[1]))  # type: ignore[index]
    content: dict[int, list[tuple[tuple[str, int], np.ndarray]]] = defaultdict(list)
    for key in keys:
        base, count = links.bases[("leaf", *key)]
        own = labels[base : base + count]
        by_label = np.argsort(own, kind="stable")
        starts = np.nonzero(np.diff(own[by_label], prepend=-1))[0]
        for label, positions in zip(own[by_label][starts].tolist(), np.split(by_label, starts[1:]), strict=True):
            content[label].append((key, positions))
    same: dict[tuple[tuple[tuple[str, int], int], ...], list[int]] = defaultdict(list)
    reasons: dict[str, str] = {}
    for label, parts in content.items():
        made = [key for key, _ in parts if key in makers]
        if not made:
            continue
        if label in barred or not any(key in readers for key, _ in parts):
            for name, _ in made:
                reasons.setdefault(module_of(name), barred.get(label, "nothing that is followed reads its channels"))
            continue
        same[tuple((key, len(positions)) for key, positions in parts)].append(label)
    groups = []
    for build, members in same.items():
        made = [key for key, _ in build if key in makers]
        if len(members) == 1:
            for name, _ in made:
                reasons.setdefault(module_of(name), "its channels hang together")
            continue
        groups.append(_group(build, members, content, made, readers, attended))
    groups.sort(key=lambda g: min(place[part.parameter] for part in g.parts))
    pruned = {module for group in groups for module in group.modules}
    spared: dict[str, list[str]] = defaultdict(list)
    for module, reason in reasons.items():
        if module not in pruned:
            spared[reason].append(module)
    return tuple(groups), tuple(Spared(tuple(modules), reason) for reason, modules in spared.items())


def _group(
    build: tuple[tuple[tuple[str, int], int], ...],
    members: list[int],
    content: dict[int, list[tuple[tuple[str, int], np.ndarray]]],
    made: list[tuple[str, int]],
    readers: set[tuple[str, int]],
    attended: set[str],
) -> Group:
    members = sorted(members, key=lambda label: int(content[label][_first(build, made)][1][0]))
    parts = []
    for i, ((name, dim), size) in enumerate(build):
        index = torch.from_numpy(np.concatenate([content[label][i][1] for label in members]))
        unit = torch.arange(len(members)).repeat_interleave(size)
        parts.append(Part(name, dim, index, unit, (name, dim) in readers))
    modules = tuple(dict.fromkeys(module_of(name) for name, _ in made))
    sizes = {key: size for key, size in build}
    kind: Kind = "channels"
    if any(name in attended and sizes[name, dim] > 1 for name, dim in made):
        kind = "heads"
    elif max(sizes[key] for key in made) > 1:
        kind = "groups"
    return Group(modules[0], kind, len(members), tuple(parts), modules)


def _first(build: tuple[tuple[tuple[str, int], int], ...], made: list[tuple[str, int]]) -> int:
    return next(i for i, (key, _) in enumerate(build) if key in made)
