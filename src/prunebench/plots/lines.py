"""Lines: a metric over what is left, a line per group of seeds with its band, and the control beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isclose, isfinite, nan
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from prunebench.comparison.matching import HOW_TO_PRUNE
from prunebench.plots.naming import axis_label, line_names, pooled
from prunebench.plots.scales import score_axis, score_label, share_axis
from prunebench.plots.style import Look, canvas, legend, line, looks
from prunebench.plots.themes import theme
from prunebench.results.curves import Curve, Replicates, by_settings, labels
from prunebench.statistics import interval_of, mean_interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 6
"""Groups in one picture; more are drawn on further ones."""


@dataclass(frozen=True)
class Line:
    """A line by step: shares left, mean figures, and their 95 % intervals (NaN where there is one seed)."""

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def line_of(
    group: Replicates, axis: str, when: Literal["before", "after"] = "after", beside: Replicates | None = None
) -> Line:
    """The line of a group over an axis; of a control over the shares of the group `beside` it, step for step."""
    x, estimates = [], []
    for step in sorted({step for curve in group for step in curve.steps}):
        shares = [share for curve in beside or group if isfinite(share := _share(curve, axis, step))]
        values = [getattr(curve, when)[at] for curve in group if (at := curve.at(step)) is not None]
        if shares:
            x.append(fmean(shares))
            estimates.append(mean_interval(values))
    return Line(
        tuple(x),
        tuple(of.mean for of in estimates),
        tuple(of.low for of in estimates),
        tuple(of.high for of in estimates),
    )


def by_samples(curve: Curve, axis: str, when: Literal["before", "after"] = "after") -> Line:
    """The line of one seed, with the intervals that its number of test samples allows; NaN where these tell none."""
    line, ends = line_of([curve], axis, when), []
    steps = [at for at, step in enumerate(curve.steps) if isfinite(_share(curve, axis, step))]
    for at, mean in zip(steps, line.mean, strict=True):
        found = interval_of(curve.metric.name, mean, curve.tested[at]) if curve.tested else None
        ends.append(found or (nan, nan))
    return replace(line, low=tuple(low for low, _ in ends), high=tuple(high for _, high in ends))


def drawable(curves: Sequence[Curve], axis: str) -> list[Replicates]:
    """Groups of curves along which something is removed by this measure, in a stable order; no controls."""
    groups = [group for group in by_settings(curves) if not group[0].is_control]
    changing = [group for group in groups if not all(isclose(x, 1) for x in line_of(group, axis).x)]
    return sorted(changing, key=lambda group: repr(sorted(group[0].settings.items())))


def controls_of(groups: Sequence[Replicates], curves: Sequence[Curve]) -> list[tuple[Replicates, Replicates]]:
    """Controls of the same model, data and training, each with the longest of the groups that it accompanies."""
    found = []
    for control in by_settings([curve for curve in curves if curve.is_control]):
        accompanied = [group for group in groups if _apart_from_pruning(group) == _apart_from_pruning(control)]
        if accompanied:
            found.append((control, max(accompanied, key=lambda group: len(group[0].steps))))
    return found


def score_picture(
    title: str,
    groups: Sequence[Replicates],
    axis: str,
    *,
    controls: Sequence[tuple[Replicates, Replicates]] = (),
    before: bool = False,
) -> Figure:
    """A metric after fine-tuning, and `before` it too, over what is left; with controls dashed in grey."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    metric = groups[0][0].metric
    seeds, counts = pooled([*groups, *(control for control, _ in controls)])
    figure, axes = canvas(title + seeds, axis_label(axis, groups), score_label(metric))
    names = line_names(groups) if len(groups) > 1 else ["after fine-tuning"]
    handles: list[Artist] = []
    banded = False
    alone = len(groups) == len(groups[0]) == 1
    lines = [by_samples(groups[0][0], axis)] if alone else [line_of(group, axis) for group in groups]
    for group, after, look in zip(groups, lines, looks(len(groups)), strict=True):
        if before:
            earlier = by_samples(group[0], axis, "before") if alone else line_of(group, axis, "before")
            axes.plot(earlier.x, earlier.mean, **line(look, hollow=True))
            banded |= _band(axes, earlier, look.color, "--")
        handles += axes.plot(after.x, after.mean, **line(look))
        banded |= _band(axes, after, look.color)
    for control, beside in controls:
        flat = line_of(control, axis, beside=beside)
        handles += axes.plot(flat.x, flat.mean, color=theme().quiet, linestyle=(0, (6, 3)), zorder=1.5)
        banded |= _band(axes, flat, theme().quiet)
    names = [name + count for name, count in zip([*names, *_control_names(controls)], counts, strict=True)]
    if before:
        plain = looks(1)[0] if len(groups) == 1 else Look(theme().quiet, "o")
        shown = [("after fine-tuning", False)] * (len(groups) > 1) + [("before fine-tuning", True)]
        handles += [Line2D([], [], **line(plain, hollow=hollow)) for _, hollow in shown]
        names += [name for name, _ in shown]
    if banded:
        handles.append(Patch(color=theme().quiet, alpha=0.2, linewidth=0))
        names.append("95 % interval, by test samples (Wilson)" if alone else "95 % interval of the mean")
    share_axis(axes, [x for of in lines for x in of.x])
    score_axis(axes, metric)
    legend(figure, handles, names)
    return figure


def _band(axes: Axes, of: Line, color: str, edge: str = "-") -> bool:
    """Draw the intervals of a line, where there are any: as a band, or as bars where the line turns back."""
    if not any(map(isfinite, of.low)):
        return False
    if any(later >= earlier for earlier, later in pairwise(of.x)):
        heights = [
            [mean - low for mean, low in zip(of.mean, of.low, strict=True)],
            [high - mean for mean, high in zip(of.mean, of.high, strict=True)],
        ]
        axes.errorbar(of.x, of.mean, yerr=heights, fmt="none", ecolor=color, elinewidth=0.8, capsize=2)
        return True
    axes.fill_between(of.x, of.low, of.high, color=color, alpha=0.15, linewidth=0)
    for end in (of.low, of.high):
        axes.plot(of.x, end, color=color, alpha=0.5, linestyle=edge, linewidth=0.6)
    return True


def _control_names(controls: Sequence[tuple[Replicates, Replicates]]) -> list[str]:
    if len(controls) <= 1:
        return ["dense, same epochs"] * len(controls)
    return labels([control[0].settings for control, _ in controls])


def _share(curve: Curve, axis: str, step: int) -> float:
    at = curve.at(step)
    return curve.axes[axis][at] if axis in curve.axes and at is not None else float("nan")


def _apart_from_pruning(group: Replicates) -> dict[str, object]:
    return {name: value for name, value in group[0].settings.items() if name not in (*HOW_TO_PRUNE, "method")}
