"""Block influence: a block that hardly changes what passes through it matters least (Men et al. 2024, ShortGPT)."""

from __future__ import annotations

from prunebench.pruning.registry import Criterion, criteria


def influence(influence: float) -> float:
    """1 − cos(what a block is given, what it gives), a mean over training samples (`pruning/blocks/influence`)."""
    return influence


criteria.add(
    "influence",
    Criterion("influence", "of whole blocks: smallest change of what passes through them", None, influence),
)
