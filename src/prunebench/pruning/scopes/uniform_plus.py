"""uniform+: layers keep the same share, but the first convolution is spared, and the last layer keeps a fifth at least
(Gale et al. 2019, arXiv 1902.09574).

Shares are of the original weights. First and last are those of the layers that are pruned, as the model lists them; a
model without convolutions has none to spare.
"""

from __future__ import annotations

from collections.abc import Mapping

from prunebench.errors import ConfigError
from prunebench.pruning.shares import Scope, levelled, scopes

LAST = 0.2
"""The share of its weights that the last layer keeps at least."""


def uniform_plus(
    shapes: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int], left: Mapping[str, int], going: int
) -> dict[str, int]:
    """How many weights go of each layer.

    Raises:
        ConfigError: more than this would have to go.
    """
    stay = sum(left.values()) - going
    first = next((name for name, shape in shapes.items() if len(shape) > 2), None)
    *_, last = shapes
    kept = {first: left[first]} if first is not None else {}
    if last != first:
        fifth = min(left[last], round(LAST * sizes[last]))
        if _levelled(sizes, left, stay, kept)[last] < fifth:
            kept[last] = fifth
    if sum(kept.values()) > stay or (len(kept) == len(shapes) and sum(kept.values()) != stay):
        raise ConfigError(
            f"--scope uniform+ keeps all {left[first] if first else 0:,} weights of {first or 'no convolution'} and a "
            f"fifth of {last}, and {stay:,} are to be left: prune less, or give another scope."
        )
    stays = _levelled(sizes, left, stay, kept)
    return {name: left[name] - stays[name] for name in shapes}


def _levelled(sizes: Mapping[str, int], left: Mapping[str, int], stay: int, kept: Mapping[str, int]) -> dict[str, int]:
    """What stays where these layers keep so much, and the others the same share of their sizes."""
    free = {name: left[name] for name in sizes if name not in kept}
    rest = max(0, stay - sum(kept.values()))
    return {**levelled(free, sizes, rest, dict.fromkeys(free, 0.0)), **kept}


scopes.add(
    "uniform+",
    Scope(
        "uniform+",
        "of weights: the same share, the first convolution spared, a fifth of the last kept (Gale et al. 2019)",
        uniform_plus,
    ),
    aliases=("uniform-plus",),
)
