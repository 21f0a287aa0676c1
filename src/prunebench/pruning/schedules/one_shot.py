"""One-shot: all goes at once, in one iteration (Li et al. 2017, arXiv 1608.08710)."""

from __future__ import annotations

from prunebench.pruning.amounts import Schedule, schedules


def one_shot(target: float, t: float) -> float:
    """s from the first iteration on, the share that is gone."""
    return target if t > 0 else 0.0


schedules.add("one-shot", Schedule("one-shot", "s: all in one iteration (Li et al. 2017)", one_shot, at_once=True))
