"""Cosine: slowly at first and in the end, as learning rates are annealed (Loshchilov and Hutter 2017, arXiv
1608.03983)."""

from __future__ import annotations

import math

from prunebench.pruning.amounts import Schedule, schedules


def cosine(target: float, t: float) -> float:
    """s·(1 − cos πt)/2, the share that is gone."""
    return target * (1 - math.cos(math.pi * t)) / 2


schedules.add("cosine", Schedule("cosine", "s·(1 − cos πt)/2: slow at first and in the end", cosine))
