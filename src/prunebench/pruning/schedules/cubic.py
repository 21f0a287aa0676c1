"""Cubic: fast at first, where much is redundant, and slowly in the end (Zhu and Gupta 2017, arXiv 1710.01878).

s_f + (s_i − s_f)(1 − t)³ with nothing gone at first, s_i = 0.
"""

from __future__ import annotations

from prunebench.pruning.amounts import Schedule, schedules


def cubic(target: float, t: float) -> float:
    """s·(1 − (1 − t)³), the share that is gone."""
    return float(target * (1 - (1 - t) ** 3))


schedules.add(
    "cubic",
    Schedule("cubic", "s·(1 − (1 − t)³): fast at first, slow in the end (Zhu and Gupta 2017)", cubic),
    aliases=("agp", "polynomial"),
)
