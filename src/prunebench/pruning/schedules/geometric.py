"""Geometric: each iteration takes the same share of what is left, as iterative magnitude pruning does (Frankle and
Carbin 2019, arXiv 1803.03635); others call it exponential."""

from __future__ import annotations

from prunebench.pruning.amounts import Schedule, schedules


def geometric(target: float, t: float) -> float:
    """1 − (1 − s)^t, the share that is gone."""
    return float(1 - (1 - target) ** t)


schedules.add(
    "geometric",
    Schedule("geometric", "1 − (1 − s)^t: the same share of what is left (Frankle and Carbin 2019)", geometric),
    aliases=("exponential", "iterative", "imp"),
)
