"""All together, each layer for itself, or each output: those that need no shares of their own (Han et al. 2015; Sun et
al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping

from prunebench.pruning.shares import Scope, scopes


def layerwise(left: Mapping[str, int], sizes: Mapping[str, int], fraction: float, gone: float | None) -> dict[str, int]:
    """The same share of every layer, to the nearest weight."""
    if gone is None:
        return {name: round(fraction * count) for name, count in left.items()}
    return {name: max(0, count - sizes[name] + round(gone * sizes[name])) for name, count in left.items()}


scopes.add("global", Scope("global", "all weights of the model are ranked together"))
scopes.add("layerwise", Scope("layerwise", "the same share of every layer", layerwise), aliases=("local", "uniform"))
scopes.add(
    "row", Scope("row", "the same share of every layer, and within it of the weights of every output", layerwise, True)
)
