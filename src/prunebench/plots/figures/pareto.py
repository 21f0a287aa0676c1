"""Accuracy against measured latency, with the Pareto front: what nothing else is both faster and better than."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from prunebench.plots.lines import MOST_LINES
from prunebench.plots.naming import line_names, numbered, pooled, slug, subject, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import quantity_axis, score_axis, score_label
from prunebench.plots.style import canvas, legend, line, looks
from prunebench.plots.themes import as_text, theme
from prunebench.results.curves import SHOWN, Replicates, by_settings, merged, milliseconds, unpruned
from prunebench.results.matrix_files import Results
from prunebench.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 8.4
"""Inches: every setting of a study is a line here, and the legend takes two columns."""


FAINT = 0.3
"""Opacity of lines and points that others beat, where there are more than MOST_LINES."""

WIDTH, HEIGHT, BESIDE = 0.024, 0.034, 0.014
"""Of a number at a line, and how far it stands beside it, in shares of the axes."""


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
            pictures.append(Picture(slug("pareto", machine.dataset, of), partial(_picture, machine, timed, of)))
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


def _picture(machine: Machine, groups: Sequence[Replicates], axis: str) -> Figure:
    groups = sorted(groups, key=lambda group: repr([merged(group[0].settings).get(name) for name in SHOWN]))
    seeds, counts = pooled(groups)
    metric = groups[0][0].metric
    if len(groups) == 1:
        title = titles([groups[0][0].settings])[0]
    else:
        title = f"{metric.title} against latency{f' on {machine.dataset}' if machine.dataset else ''}"
    size, _, backend = axis.removeprefix("latency@").partition(" ")
    what = f"milliseconds per batch of {size} (the unpruned model's × the share measured beside it)"
    label = ", ".join(part for part in (what, backend, str(machine)) if part)
    figure, axes = canvas(title + seeds, label, score_label(metric), width=WIDE)
    names = line_names(groups) if len(groups) > 1 else ["every step"]
    originals = milliseconds((curve for group in groups for curve in group), axis)
    drawn = [points(group, axis, originals) for group in groups]
    every = [point for of in drawn for point in of]
    best, many = front(every, metric.higher_is_better), len(groups) > MOST_LINES
    handles = []
    for of, look in zip(drawn, looks(len(groups)), strict=True):
        shown = of
        x, y = [point.ms for point in shown], [point.mean for point in shown]
        lines = axes.plot(x, y, **line(look, linewidth=0.8, alpha=FAINT if many else 0.8))
        if many:  # what nothing beats stands out, and it alone has its interval
            shown = [point for point in of if point in best]
            x, y = [point.ms for point in shown], [point.mean for point in shown]
            lines = axes.plot(x, y, **line(look, markersize=7) | {"linestyle": "none"})
        handles += lines
        if any(isfinite(point.low) for point in shown):
            heights = [[point.mean - point.low for point in shown], [point.high - point.mean for point in shown]]
            axes.errorbar(x, y, yerr=heights, fmt="none", ecolor=look.color, elinewidth=0.8, alpha=0.5)
    handles += axes.plot(
        [point.ms for point in best],
        [point.mean for point in best],
        color=theme().quiet,
        marker="o",
        markersize=11,
        markerfacecolor="none",
        linestyle=":",
        drawstyle="steps-post",
    )
    quantity_axis(axes, "x", [point.ms for point in every])
    score_axis(axes, metric)
    names = [name + count for name, count in zip(names, counts, strict=True)]
    if many:
        names = [f"{i}: {name}" for i, name in enumerate(names, 1)]
        _number(axes, drawn)
    legend(figure, handles, [*names, "Pareto front"])
    return figure


def _number(axes: Axes, drawn: Sequence[Sequence[Point]]) -> None:
    """Number the lines at their fast ends, in the order of the legend; numbers give way to each other downwards."""
    inside = axes.transData + axes.transAxes.inverted()
    placed: list[tuple[float, float]] = []
    for i, (of, look) in enumerate(zip(drawn, looks(len(drawn)), strict=True), 1):
        end = min(of, key=lambda point: point.ms)
        x, y = inside.transform((end.ms, end.mean))
        x -= BESIDE
        while any(abs(x - other) < WIDTH and abs(y - above) < HEIGHT for other, above in placed):
            y -= HEIGHT
        placed.append((x, y))
        about: dict[str, Any] = {"fontsize": 8, "fontweight": "bold", "ha": "right", "va": "center", "zorder": 4}
        axes.text(x, y, str(i), color=as_text(look.color), transform=axes.transAxes, **about)


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
