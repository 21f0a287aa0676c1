"""Figures: groups of curves that differ in their seed alone, as the rows that a report draws and tabulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from statistics import fmean
from typing import Any

import msgspec

from prunebench.results.curves import AXES, Curve, labels, latency_axis, milliseconds, unpruned
from prunebench.results.settings import on_data
from prunebench.statistics import interval_of, mean_interval, paired_speedup


class Spread(msgspec.Struct, frozen=True):
    """A mean over seeds and its 95 % interval; the ends are NaN for one seed."""

    mean: float
    low: float
    high: float


class Speedup(msgspec.Struct, frozen=True):
    """One step on one backend at one batch size: milliseconds, and the speed-up over the original with its interval.

    `ms` is the median of the unpruned model over all its measurements, divided by the speed-up (see
    `curves.milliseconds`).
    """

    ms: float
    speedup: float
    low: float
    high: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a group.

    Attributes:
        n: seeds that have the step.
        before, after: test accuracy before and after fine-tuning, 0 to 1.
        wilson: 95 % interval of the mean accuracy after fine-tuning that the number of test samples alone allows.
        left: axis → share of the unpruned model that is left, mean over seeds.
        params, macs: what is left in absolute numbers, mean over seeds.
        effective_macs: the same of MACs, without those of masked weights; None where that was not counted.
        timed: axis of latency → times of the first seed that was timed.
    """

    step: int
    n: int
    before: Spread
    after: Spread
    wilson: tuple[float, float]
    left: dict[str, float]
    params: float
    macs: float
    effective_macs: float | None
    timed: dict[str, Speedup]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that differ in their seed alone; `family` says of which model on which data."""

    label: str
    family: str
    control: bool
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]


def family(group: Sequence[Curve]) -> str:
    """`resnet18 on digits`: only groups of one family, on the same data, are drawn together."""
    settings = group[0].settings
    return f"{settings.get('model')} on {on_data(settings)}"


def by_family(groups: Sequence[list[Curve]]) -> dict[str, list[list[Curve]]]:
    """Groups of one model on one dataset together, families by name, controls last."""
    found: dict[str, list[list[Curve]]] = {}
    for group in sorted(groups, key=lambda group: (family(group), group[0].is_control)):
        found.setdefault(family(group), []).append(group)
    return found


def figures(groups: Sequence[list[Curve]]) -> list[Series]:
    """The figures of the groups of one family, named by the settings in which they differ."""
    names = labels([group[0].settings for group in groups])
    curves = [curve for group in groups for curve in group]
    originals = {axis: milliseconds(curves, axis) for axis in {axis for curve in curves for axis in curve.axes}}
    return [
        Series(
            label=name,
            family=family(group),
            control=group[0].is_control,
            seeds=tuple(curve.seed for curve in group),
            rows=tuple(
                _row(group, step, originals) for step in sorted({step for curve in group for step in curve.steps})
            ),
        )
        for name, group in zip(names, groups, strict=True)
    ]


def axes_of(groups: Sequence[Series]) -> list[str]:
    """The axes that any group can be drawn over, latencies last."""
    found = dict.fromkeys(AXES)
    found |= dict.fromkeys(axis for group in groups for row in group.rows for axis in row.left)
    return list(found)


def _row(group: Sequence[Curve], step: int, originals: Mapping[str, Mapping[str, float]]) -> Row:
    places = [(curve, at) for curve in group if (at := curve.at(step)) is not None]
    timed = _timed(group, step, originals)
    effective: list[Any] = [curve.records[at].effective_macs for curve, at in places]
    shares = {axis: fmean(curve.axes[axis][at] for curve, at in places) for axis in AXES}
    return Row(
        step=step,
        n=len(places),
        before=_spread([curve.before[at] for curve, at in places]),
        after=_spread([curve.after[at] for curve, at in places]),
        wilson=_allowed(places),
        left=shares | {axis: 1 / of.speedup for axis, of in timed.items()},
        params=fmean(curve.records[at].nonzero_params for curve, at in places),
        macs=fmean(curve.records[at].macs for curve, at in places),
        effective_macs=None if None in effective else fmean(effective),
        timed=timed,
    )


def _allowed(places: Sequence[tuple[Curve, int]]) -> tuple[float, float]:
    """The interval of a mean figure that the number of test samples allows; NaN where it allows none."""
    (first, at), mean = places[0], fmean(curve.after[at] for curve, at in places)
    return interval_of(first.metric.name, mean, first.tested[at]) or (nan, nan)


def _spread(values: Sequence[float]) -> Spread:
    found = mean_interval(values)
    return Spread(found.mean, found.low, found.high)


def _timed(group: Sequence[Curve], step: int, originals: Mapping[str, Mapping[str, float]]) -> dict[str, Speedup]:
    """Times of a step by axis; the unpruned model is as quick as itself."""
    curve = next((curve for curve in group if curve.timings and step in curve.steps), None)
    found: dict[str, Speedup] = {}
    if curve is None:
        return found
    for backend, timings in curve.timings.items():
        for timing in timings:
            if step not in (0, timing.step):
                continue
            of = {(latency.variant, latency.batch_size): latency.samples_ms for latency in timing.latencies}
            for size in sorted({size for variant, size in of if variant == "pruned"}):
                original, pruned = of["original", size], of.get(("sparse", size), of["pruned", size])
                axis, speedup = latency_axis(backend, size), paired_speedup(original, pruned if step else original)
                found.setdefault(axis, Speedup(originals[axis][unpruned(curve)] / speedup.median, *speedup))
    return found
