"""All together, or each layer for itself: the two that need no shares of their own (Han et al. 2015)."""

from __future__ import annotations

from collections.abc import Mapping

from prunebench.pruning.shares import Scope, scopes


def layerwise(left: Mapping[str, int], fraction: float) -> dict[str, int]:
    """The same share of every layer, to the nearest weight."""
    return {name: round(fraction * count) for name, count in left.items()}


scopes.add("global", Scope("global", "all weights of the model are ranked together"))
scopes.add("layerwise", Scope("layerwise", "the same share of every layer", layerwise), aliases=("local", "uniform"))
