"""Statistics of records, computed where they are shown."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from math import comb, floor, isnan, nan, sqrt
from statistics import NormalDist, fmean, median, stdev
from typing import NamedTuple

from prunebench.records import METRICS

Z95 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""

POWER = 0.8
"""Of repetitions, in how many `seeds_needed` seeds would tell a difference."""

MOST_SEEDS = 1000
"""`seeds_needed` looks no further: one more than this stands for any number above it."""


def interval_of(metric: str, mean: float, count: int) -> tuple[float, float] | None:
    """95 % interval of a metric's mean over `count` samples; None where their mean tells nothing of their spread."""
    return wilson(mean, count) if METRICS[metric].interval == "wilson" else None


def wilson(p: float, n: int) -> tuple[float, float]:
    """95 % interval of a share `p` of `n` samples (Wilson 1927, score interval), both ends in 0 to 1.

    It need not be a whole number of them: a mean over runs is not.
    """
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(lost: int, gained: int) -> float:
    """Two-sided exact p-value of `lost` and `gained` of paired answers being as likely as each other (McNemar 1947).

    Of the answers that changed, as many as were gained would be heads of a fair coin; 1 where none changed.
    """
    changed, fewer = lost + gained, min(lost, gained)
    below, term = 0, 1  # term is comb(changed, i)
    for i in range(fewer + 1):
        below += term
        term = term * (changed - i) // (i + 1)
    return min(1.0, float(2 * below / 2**changed))


def paired_change(lost: int, gained: int, n: int, tests: int = 1) -> tuple[float, float]:
    """95 % interval of the change (gained − lost) / n of a share of `n` paired answers (Tango 1998, score interval).

    It leaves zero where the score test of McNemar does, and has a width where nothing changed. Of several `tests`
    each gets its part of the error (Bonferroni), so that all intervals hold together in 95 %.
    """
    z = Z95 if tests == 1 else NormalDist().inv_cdf(1 - 0.025 / tests)
    estimate = (gained - lost) / n

    def end(towards: float) -> float:
        inside, outside = estimate, towards
        for _ in range(60):
            middle = (inside + outside) / 2
            held = abs(_tango(lost, gained, n, middle)) <= z
            inside, outside = (middle, outside) if held else (inside, middle)
        return inside

    return end(-1.0), end(1.0)


def _tango(lost: int, gained: int, n: int, change: float) -> float:
    """The score statistic of a paired change: its distance from the estimate, in deviations under that change."""
    a, b = 2 * n, -gained - lost + (2 * n - gained + lost) * change
    c = -lost * change * (1 - change)
    share = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)  # of lost answers, most likely under that change
    variance = n * (2 * share + change * (1 - change))
    distance = gained - lost - n * change
    if variance <= 0:
        return 0.0 if distance == 0 else float("inf")
    return distance / sqrt(variance)


class MedianInterval(NamedTuple):
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


def median_interval(values: Sequence[float]) -> MedianInterval:
    """The median with a 95 % interval from order statistics, which asks nothing of the distribution.

    The interval runs from the k-th smallest to the k-th largest value, for the largest k that covers the true
    median with 95 % or more (Conover 1999, section 3.2); below six values no k does.
    """
    ordered = sorted(values)
    k = _rank(len(ordered))
    if k == 0:
        return MedianInterval(median(ordered), float("nan"), float("nan"))
    return MedianInterval(median(ordered), ordered[k - 1], ordered[-k])


def paired_speedup(original_ms: Sequence[float], other_ms: Sequence[float]) -> MedianInterval:
    """How many times as fast the other was: the median of the ratios within rounds, with its interval."""
    return median_interval([a / b for a, b in zip(original_ms, other_ms, strict=True)])


class MeanInterval(NamedTuple):
    """A mean of `n` values, their standard deviation and a 95 % interval of the mean; NaN where there are too few."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def mean_interval(values: Sequence[float], tests: int = 1) -> MeanInterval:
    """The mean with its 95 % interval by Student's t; below two values there is no deviation and no interval.

    Of several `tests` each gets its part of the error (Bonferroni), so that all intervals hold together in 95 %.
    """
    n, mean = len(values), fmean(values)
    if n < 2:
        return MeanInterval(n, mean, nan, nan, nan)
    sd = stdev(values)
    half = sd * _reach(n, tests)
    return MeanInterval(n, mean, sd, mean - half, mean + half)


def mean_difference(differences: Sequence[float], tests: int = 1) -> tuple[MeanInterval, float]:
    """The mean of paired differences with its 95 % interval, and the two-sided p-value of their being none.

    The interval is one of several `tests` as of `mean_interval`; p is that of this one alone.

    Where all are equal, their spread is smaller than what was measured can show, not nothing; yet Student's t would
    take it for nothing and be sure of any difference. There the interval is that of order statistics, which six
    seeds are the fewest for, and p that of the sign test.
    """
    found = mean_interval(differences, tests)
    n, mean, sd = found.n, found.mean, found.sd
    if n < 2:
        return found, nan
    if sd == 0:
        of_order = median_interval(differences)
        known = of_order.known and tests == 1
        low, high = (of_order.low, of_order.high) if known else (nan, nan)
        return found._replace(low=low, high=high), 1.0 if mean == 0 else 2.0 ** (1 - n)
    from scipy.special import stdtr

    return found, 2 * float(stdtr(n - 1, -abs(mean) / sd * sqrt(n)))


def seeds_needed(differences: Sequence[float]) -> int | None:
    """The fewest seeds that tell a mean difference such as this, with a deviation such as this, with a power of POWER.

    Were it and its deviation what they seem, the 95 % interval of so many seeds would leave zero in four of five
    repetitions (a t test of paired differences; Cohen 1988). None where there is no difference or nothing to tell its
    deviation by; MOST_SEEDS + 1 stands for more than MOST_SEEDS.
    """
    found = mean_interval(differences)
    if found.n < 2 or found.mean == 0:
        return None
    if found.sd == 0:
        return next(n for n in range(2, MOST_SEEDS) if _rank(n))
    ratio = abs(found.mean) / found.sd
    return 2 + bisect_left(range(2, MOST_SEEDS + 1), POWER, key=lambda n: power(ratio, n))


def power(ratio: float, n: int) -> float:
    """How often the 95 % interval of the mean of n values leaves zero on the side of their mean, which is `ratio` times
    their deviation away (noncentral t)."""
    from scipy.special import nctdtr, stdtrit

    found = 1 - float(nctdtr(n - 1, ratio * sqrt(n), float(stdtrit(n - 1, 0.975))))
    return 1.0 if isnan(found) else found  # SciPy gives up where nothing is left of the other side


def holm(ps: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979): at 5 %, one in twenty such lists holds an error, however long.

    NaN stays, and is not counted.
    """
    counted = sorted((p, i) for i, p in enumerate(ps) if not isnan(p))
    found, most = list(ps), 0.0
    for rank, (p, i) in enumerate(counted):
        most = max(most, min(1.0, (len(counted) - rank) * p))
        found[i] = most
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, interpolated linearly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@cache
def _reach(n: int, tests: int) -> float:
    """Half the 95 % interval of a mean of n values, one of several `tests`, in standard deviations of the values."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - 0.025 / tests)) / sqrt(n)


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
