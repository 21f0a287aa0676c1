"""All together, each layer for itself, or each output: those that need no shares of their own (Han et al. 2015; Sun et
al. 2024).

Of units, heads of all layers are ranked together also where layers are each for itself: a layer has few of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from prunebench.pruning.shares import GLOBAL_UNITS, Scope, scopes

if TYPE_CHECKING:
    from prunebench.pruning.units.groups import Group


def layerwise(left: Mapping[str, int], sizes: Mapping[str, int], fraction: float, gone: float | None) -> dict[str, int]:
    """The same share of every layer, to the nearest weight."""
    if gone is None:
        return {name: round(fraction * count) for name, count in left.items()}
    return {name: max(0, count - sizes[name] + round(gone * sizes[name])) for name, count in left.items()}


def alone(group: Group) -> Hashable:
    """A group by itself; all heads together."""
    return group.kind if group.kind == "heads" else (group.name,)


def together() -> Hashable:
    """All groups."""
    return None


scopes.add(
    "global",
    Scope("global", "all weights, or units, of the model are ranked together", pool=together, compares=True),
    aliases=(GLOBAL_UNITS,),
)
scopes.add(
    "layerwise",
    Scope("layerwise", "the same share of every layer", layerwise, pool=alone),
    aliases=("local", "uniform"),
)
scopes.add(
    "row", Scope("row", "the same share of every layer, and within it of the weights of every output", layerwise, True)
)
