"""Linear: each iteration takes the same share of the original."""

from __future__ import annotations

from prunebench.pruning.amounts import Schedule, schedules


def linear(target: float, t: float) -> float:
    """s·t, the share that is gone."""
    return target * t


schedules.add("linear", Schedule("linear", "s·t: the same share of the original", linear))
