"""Statistics of records, computed where they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb, floor, isnan, sqrt
from statistics import median
from typing import NamedTuple

from prunebench.records import Accuracy

Z95 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""


def wilson(accuracy: Accuracy) -> tuple[float, float]:
    """95 % interval of a share of correct samples (Wilson 1927, score interval), both ends in 0 to 1."""
    n, p = accuracy.total, accuracy.top1
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


class Estimate(NamedTuple):
    """A median and its 95 % interval; the ends are NaN where there are too few samples for one."""

    median: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval as a share of the median; NaN where there is none."""
        return (self.high - self.low) / 2 / self.median

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not isnan(self.low)


def median_interval(values: Sequence[float]) -> Estimate:
    """The median with a 95 % interval from order statistics, which asks nothing of the distribution.

    The interval runs from the k-th smallest to the k-th largest value, for the largest k that covers the true
    median with 95 % or more (Conover 1999, section 3.2); below six values no k does.
    """
    ordered = sorted(values)
    k = _rank(len(ordered))
    if k == 0:
        return Estimate(median(ordered), float("nan"), float("nan"))
    return Estimate(median(ordered), ordered[k - 1], ordered[-k])


def paired_speedup(original_ms: Sequence[float], other_ms: Sequence[float]) -> Estimate:
    """How many times as fast the other was: the median of the ratios within rounds, with its interval."""
    return median_interval([a / b for a, b in zip(original_ms, other_ms, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, interpolated linearly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@cache
def _rank(n: int) -> int:
    """The largest k with P(Binomial(n, ½) < k) ≤ 2.5 %; 0 where even the extremes are too narrow."""
    if n > 1000:  # exact to one rank, and quick
        return floor((n - Z95 * sqrt(n)) / 2)
    below, k = 1, 0  # `below` is the number of outcomes with at most k heads
    while 40 * below <= 2**n:
        k += 1
        below += comb(n, k)
    return k
