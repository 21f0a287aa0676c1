"""Statistics of records, computed where they are shown."""

from __future__ import annotations

from math import sqrt

from prunebench.records import Accuracy

Z95 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""


def wilson(accuracy: Accuracy) -> tuple[float, float]:
    """95 % interval of a share of correct samples (Wilson 1927, score interval), both ends in 0 to 1."""
    n, p = accuracy.total, accuracy.top1
    centre = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)
