"""Scales: logarithmic axes with ticks that are read without thinking."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isfinite, log2, log10
from typing import TYPE_CHECKING, Literal

from prunebench.records import Metric
from prunebench.results.tables import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Which = Literal["x", "y"]

MOST_TICKS = 9

NEAR = 0.03
"""Powers of two: 12.7 % still gets the tick of 12.5 %."""


def share_axis(axes: Axes, shares: Sequence[float]) -> None:
    """The x-axis of what is left: logarithmic, from 100 % down, with ticks in percent."""
    positive = [share for share in shares if share > 0]  # nothing left has no place on a logarithmic axis
    low, high = min(positive), max(positive)
    _scale(axes, "x", share_ticks(low, high), [percent(tick) for tick in share_ticks(low, high)])
    margin = (high / low) ** 0.04 if high > low else 1.1
    axes.set_xlim(high * margin, low / margin)


def share_ticks(low: float, high: float) -> list[float]:
    """100 %, 50 %, 25 % … between two shares; where that would be few, round percentages."""
    if high / low < 4:
        return [tick / 100 for tick in _round_numbers(100 * low, 100 * high)]
    first, last = floor(log2(high) + NEAR), ceil(log2(low) - NEAR)
    every = -(-(first - last + 1) // MOST_TICKS)
    return [2.0**power for power in range(first, last - 1, -1) if power % every == 0]


def shade_ticks(low: float, high: float) -> list[float]:
    """Round percentages between two shares: 100 %, 50 %, 20 % … or, where these are many, 100 %, 10 %, 1 % …"""
    ratio = high / low
    found = _round_numbers(100 * low, 100 * high) if ratio < 4 else _one_two_five(100 * low, 100 * high)
    return [tick / 100 for tick in found if ratio < 100 or f"{tick:e}".startswith("1.000")]


def percent(share: float) -> str:
    """`12.5`, `3.125`, `1.56`, `0.781`."""
    return f"{100 * share:.4g}" if share >= 0.03 else f"{100 * share:.3g}"


def quantity_axis(axes: Axes, which: Which, values: Sequence[float]) -> None:
    """A logarithmic axis of numbers above zero, such as milliseconds: 1, 2, 5, 10 …"""
    known = [value for value in values if isfinite(value)]
    low, high = min(known), max(known)
    ticks = _round_numbers(low, high) if high / low < 4 else _one_two_five(low, high)
    _scale(axes, which, ticks, [f"{tick:g}" for tick in ticks])
    margin = (high / low) ** 0.05 if high > low else 1.1
    (axes.set_xlim if which == "x" else axes.set_ylim)(low / margin, high * margin)


def size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """The x-axis of batch sizes: logarithmic, with a tick at each."""
    _scale(axes, "x", sorted(set(sizes)), [str(size) for size in sorted(set(sizes))])


def count_axis(axes: Axes) -> None:
    """The y-axis of counts, from zero: `2.5 M`."""
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(round(value))))


def score_label(metric: Metric) -> str:
    """`test accuracy, %`: what a metric's axis is called."""
    return f"test {metric.title}, {'%' if metric.unit == 'share' else metric.unit}"


def score_axis(axes: Axes, metric: Metric) -> None:
    """The y-axis of a metric; of shares in percent, and never beyond what a share can be."""
    from matplotlib.ticker import FuncFormatter

    if metric.unit != "share":
        return
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g}"))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))


def _scale(axes: Axes, which: Which, ticks: Sequence[float], labels: Sequence[str]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_minor_locator(NullLocator())


def _round_numbers(low: float, high: float) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    within = MaxNLocator(MOST_TICKS, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.12g}") for tick in within if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]


def _one_two_five(low: float, high: float) -> list[float]:
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    mantissas = (1, 1.5, 2, 3, 4, 5, 7) if high / low < 10 else (1, 2, 5) if high / low < 1e4 else (1,)
    ticks = [float(f"{mantissa}e{power}") for power in powers for mantissa in mantissas]
    return [tick for tick in ticks if low <= tick <= high]
