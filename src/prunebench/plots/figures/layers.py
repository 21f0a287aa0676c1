"""Weights left in every layer by step, as a heat map: a picture per group of runs, mean over its seeds."""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from prunebench.plots.naming import numbered, of_nominal, pooled, slug_of, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import percent, share_ticks
from prunebench.plots.style import WIDTH, canvas
from prunebench.results.curves import Replicates, by_settings
from prunebench.results.matrix_files import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES_PER_LAYER = 0.17
INCHES_PER_LETTER = 0.06
ROOM = 20
"""Letters of a name that a picture of the usual width has room for."""

MOST_NUMBERS = 14
"""Steps up to which there is room for a number in each cell."""

MOST_LABELS = 20
"""Steps that there is room to name."""


def draw(results: Results, axis: str) -> list[Picture]:
    """Heat maps of runs that removed anything; matrices tell nothing of layers."""
    groups = [group for group in by_settings(results.curves) if group[0].records and not group[0].is_control]
    groups = sorted(groups, key=lambda group: str(sorted(group[0].settings.items())))
    return numbered(
        Picture(slug_of("layers", group[0].settings), partial(_picture, title + pooled([group])[0], group))
        for title, group in zip(titles([group[0].settings for group in groups]), groups, strict=True)
    )


def shares(group: Replicates) -> dict[str, list[float]]:
    """Layer → share of its weights that is left, by step of the longest run; mean over seeds."""
    found: dict[str, list[float]] = {}
    for step in max((curve.steps for curve in group), key=len):
        records = [curve.records[at] for curve in group if (at := curve.at(step)) is not None]
        for of in zip(*(record.layers for record in records), strict=True):
            found.setdefault(of[0].name, []).append(fmean(layer.weights_left / layer.weights for layer in of))
    return found


def _picture(title: str, group: Replicates) -> Figure:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    found = shares(group)
    longest = max(group, key=lambda curve: len(curve.steps))
    height = max(2.6, 1.6 + INCHES_PER_LAYER * len(found))
    width = WIDTH + INCHES_PER_LETTER * max(0, max(map(len, found)) - ROOM)
    x = f"step, and nominal % of {of_nominal(group[0].settings)} left"
    figure, axes = canvas(title, x, "layer", width=width, height=height)
    rows = list(found.values())
    low = min((share for row in rows for share in row if share > 0), default=1.0)
    norm = LogNorm(min(low, 0.5), 1)
    colours = colormaps["cividis"].with_extremes(bad="white")
    image = axes.pcolormesh([[share or float("nan") for share in row] for row in rows], cmap=colours, norm=norm)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    steps = [f"{step}\n{_brief(left)}" for step, left in zip(longest.steps, longest.axes["left"], strict=True)]
    every = -(-len(steps) // MOST_LABELS)
    axes.set_xticks([i + 0.5 for i in range(0, len(steps), every)], steps[::every], fontsize=8)
    axes.set_yticks([i + 0.5 for i in range(len(found))], list(found), fontsize=7)
    if len(steps) <= MOST_NUMBERS:
        _numbers(axes, rows, norm)
    bar = figure.colorbar(
        image, ax=axes, label="weights left, % (white: none)", shrink=min(1, 3 / height), fraction=0.06
    )
    ticks = share_ticks(norm.vmin or low, 1)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_major_formatter(FixedFormatter([percent(tick) for tick in ticks]))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure


def _numbers(axes: Axes, rows: list[list[float]], norm: Any) -> None:
    """The percentage in each cell."""
    for i, row in enumerate(rows):
        for j, share in enumerate(row):
            dark = share > 0 and norm(share) < 0.5
            axes.text(
                j + 0.5,
                i + 0.5,
                _brief(share),
                ha="center",
                va="center",
                fontsize=6,
                color="white" if dark else "black",
                in_layout=False,
            )


def _brief(share: float) -> str:
    """`100`, `53`, `7.4`: a percentage in the room of a cell."""
    return f"{100 * share:.2g}" if share < 0.995 else "100"


plots.add(
    "layers", Plot("layers", "weights left in every layer by step", draw, "a pruning run (matrices have no layers)")
)
