"""Accuracy against measured latency, with the Pareto front: what nothing else is both faster and better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from prunebench.plots.naming import line_names, numbered, pooled, slug, subject, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import quantity_axis, score_axis, score_label
from prunebench.plots.style import GREY, canvas, legend, line, looks
from prunebench.results.curves import SHOWN, Replicates, by_settings, merged, milliseconds, unpruned
from prunebench.results.matrix_files import Results
from prunebench.statistics import mean_interval

WIDE = 8.4
"""Inches: every setting of a study is a line here, and the legend takes two columns."""


class Point(NamedTuple):
    """A step of a group: median milliseconds, mean accuracy and its 95 % interval."""

    ms: float
    mean: float
    low: float
    high: float


class Machine(NamedTuple):
    """Where models were timed, and on which data they are compared."""

    dataset: str
    device: str
    threads: int

    def __str__(self) -> str:
        return f"{self.device}, {self.threads} thread{'s' if self.threads > 1 else ''}" if self.device else ""


def draw(results: Results, axis: str) -> list[Picture]:
    """A picture per dataset, machine and backend, at the batch size that the axis names, else at the smallest."""
    places: dict[Machine, list[Replicates]] = {}
    for group in by_settings(results.curves):
        if (machine := _machine(group)) is not None:
            places.setdefault(machine, []).append(group)
    pictures = []
    for machine, groups in sorted(places.items()):
        for of in _axes(groups, axis):
            timed = [group for group in groups if any(of in curve.axes for curve in group)]
            pictures.append(_picture(machine, timed, of))
    return numbered(pictures)


def points(group: Replicates, axis: str, originals: Mapping[str, float]) -> list[Point]:
    """The steps of a group that were timed, whichever of its seeds was; `originals` are those of `milliseconds`."""
    found = []
    for step in sorted({step for curve in group for step in curve.steps}):
        places = [(curve, at) for curve in group if (at := curve.at(step)) is not None]
        timed = [(curve, curve.axes[axis][at]) for curve, at in places if axis in curve.axes]
        for curve, share in [pair for pair in timed if isfinite(pair[1])][:1]:
            _, mean, _, low, high = mean_interval([curve.after[at] for curve, at in places])
            found.append(Point(share * originals[unpruned(curve)], mean, low, high))
    return found


def front(found: Sequence[Point], higher_is_better: bool = True) -> list[Point]:
    """Points that no other is both at most as slow and at least as good as, the fastest first."""
    best: list[Point] = []
    sign = 1 if higher_is_better else -1
    for point in sorted(found, key=lambda point: (point.ms, -sign * point.mean)):
        if not best or sign * point.mean > sign * best[-1].mean:
            best.append(point)
    return best


def _machine(group: Replicates) -> Machine | None:
    """Where a group was timed; None where it was not."""
    records = [timing.latencies[0] for curve in group for timings in curve.timings.values() for timing in timings]
    if not records:
        return None
    return Machine(subject(group[0].settings).dataset, records[0].device, records[0].threads)


def _axes(groups: Sequence[Replicates], axis: str) -> list[str]:
    """The axes of latency to draw: the one asked for, else the smallest batch size of every backend."""
    every = {name for group in groups for curve in group for name in curve.axes if name.startswith("latency@")}
    if axis.startswith("latency@"):
        return [axis] if axis in every else []
    smallest: dict[str, tuple[int, str]] = {}
    for name in every:
        size, _, backend = name.removeprefix("latency@").partition(" ")
        smallest[backend] = min(smallest.get(backend, (int(size), name)), (int(size), name))
    return [smallest[backend][1] for backend in sorted(smallest)]


def _picture(machine: Machine, groups: Sequence[Replicates], axis: str) -> Picture:
    groups = sorted(groups, key=lambda group: repr([merged(group[0].settings).get(name) for name in SHOWN]))
    seeds, counts = pooled(groups)
    metric = groups[0][0].metric
    if len(groups) == 1:
        title = titles([groups[0][0].settings])[0]
    else:
        title = f"{metric.title} against latency{f' on {machine.dataset}' if machine.dataset else ''}"
    size, _, backend = axis.removeprefix("latency@").partition(" ")
    what = f"milliseconds per batch of {size} (the unpruned model's, times the share measured beside it)"
    label = ", ".join(part for part in (what, backend, str(machine)) if part)
    figure, axes = canvas(title + seeds, label, score_label(metric), width=WIDE)
    names = line_names(groups) if len(groups) > 1 else ["every step"]
    originals = milliseconds((curve for group in groups for curve in group), axis)
    handles, every = [], []
    for group, look in zip(groups, looks(len(groups)), strict=True):
        of = points(group, axis, originals)
        every += of
        x, y = [point.ms for point in of], [point.mean for point in of]
        handles += axes.plot(x, y, **line(look, linewidth=0.8, alpha=0.8))
        if any(isfinite(point.low) for point in of):
            heights = [[point.mean - point.low for point in of], [point.high - point.mean for point in of]]
            axes.errorbar(x, y, yerr=heights, fmt="none", ecolor=look.color, elinewidth=0.8, alpha=0.5)
    best = front(every, metric.higher_is_better)
    handles += axes.plot(
        [point.ms for point in best],
        [point.mean for point in best],
        color=GREY,
        marker="o",
        markersize=11,
        markerfacecolor="none",
        linestyle=":",
        drawstyle="steps-post",
    )
    quantity_axis(axes, "x", [point.ms for point in every])
    score_axis(axes, metric)
    names = [name + count for name, count in zip(names, counts, strict=True)]
    legend(figure, handles, [*names, "Pareto front"])
    return Picture(slug("pareto", machine.dataset, axis), figure)


plots.add(
    "pareto",
    Plot(
        "pareto",
        "accuracy against measured latency",
        draw,
        "a curve whose steps were timed (prunebench efficiency)",
        scored=True,
    ),
)
