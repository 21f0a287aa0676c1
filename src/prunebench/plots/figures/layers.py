"""Layers before and after pruning as bars, and beside each the weights that every step left of it, as a heat map: a
picture per group of runs, mean over its seeds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from prunebench.plots.bars import What, bars, size
from prunebench.plots.naming import numbered, of_nominal, pooled, slug_of, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import percent, shade_ticks
from prunebench.plots.style import columns, legend
from prunebench.plots.themes import ink_on, theme
from prunebench.results.curves import Curve, Replicates, by_settings
from prunebench.results.layers import alike, layers_of, together, told
from prunebench.results.matrix_files import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES_OF_BARS = 3.0
INCHES_PER_STEP = 0.4

MOST_NUMBERS = 14
"""Steps up to which there is room for a number in each cell."""

MOST_LABELS = 20
"""Steps that there is room to name."""


def draw(results: Results, axis: str) -> list[Picture]:
    """Layers of runs that removed anything; matrices tell nothing of layers."""
    every = [group for group in by_settings(results.curves) if group[0].records and not group[0].is_control]
    groups = [alike(group) for group in every if group[0].records[0].layers]
    groups = sorted(groups, key=lambda group: str(sorted(group[0].settings.items())))
    return numbered(
        Picture(slug_of("layers", group[0].settings), partial(_picture, title + pooled([group])[0], group))
        for title, group in zip(titles([group[0].settings for group in groups]), groups, strict=True)
    )


def _picture(title: str, group: Replicates) -> Figure:
    longest = max(group, key=lambda curve: len(curve.steps))
    by_step = [together(layers_of(group, step)) for step in longest.steps]
    rows, what = by_step[-1], _shown(group)
    across = min(MOST_NUMBERS, max(4, len(by_step))) * INCHES_PER_STEP
    width, height = size(rows, across - INCHES_OF_BARS / 2)
    steps = f"step, nominal % of {of_nominal(group[0].settings)} left"
    xs = [f"{what} before → left after step {longest.steps[-1]}", steps]
    title = f"{title}; {summed}" if (summed := told(rows)) else title
    ratios = (INCHES_OF_BARS, across)
    figure, (first, second) = columns(title, xs, "layer", width=width, height=height, ratios=ratios)
    handles = bars(first, rows, what)
    _heat_map(figure, second, [[step[i].share for step in by_step] for i in range(len(rows))])
    _name_steps(second, longest)
    legend(figure, handles, [f"{what} left", "removed"])
    return figure


def _shown(group: Replicates) -> What:
    """What of layers becomes fewer."""
    return "outputs" if group[0].narrows else "weights"


def _heat_map(figure: Figure, axes: Axes, rows: list[list[float]]) -> None:
    """Shares of weights: a row per layer, as the bars have it, and a column per step."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    low = min((share for row in rows for share in row if share > 0), default=1.0)
    norm = LogNorm(min(low, 0.5), 1)
    colours = colormaps["cividis"].with_extremes(bad=theme().paper)
    known = [[share or float("nan") for share in row] for row in rows]
    image = axes.imshow(known, cmap=colours, norm=norm, aspect="auto")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(rows[0]) <= MOST_NUMBERS:
        _numbers(axes, rows, lambda share: colours(norm(share)) if share else None)
    height = figure.get_size_inches()[1]
    bar = figure.colorbar(image, ax=axes, label="weights left, % (blank: none)", shrink=min(1, 3 / height), pad=0.03)
    bar.outline.set_visible(False)
    ticks = shade_ticks(norm.vmin or low, 1)
    bar.ax.yaxis.set_major_locator(FixedLocator(ticks))
    bar.ax.yaxis.set_major_formatter(FixedFormatter([percent(tick) for tick in ticks]))
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _name_steps(axes: Axes, longest: Curve) -> None:
    steps = [f"{step}\n{_brief(left)}" for step, left in zip(longest.steps, longest.axes["left"], strict=True)]
    every = -(-len(steps) // MOST_LABELS)
    axes.set_xticks(range(0, len(steps), every), steps[::every], fontsize=8)


def _numbers(axes: Axes, rows: list[list[float]], colour: Any) -> None:
    """The percentage in each cell."""
    from matplotlib.colors import to_hex

    for i, row in enumerate(rows):
        for j, share in enumerate(row):
            behind = colour(share)
            ink = theme().ink if behind is None else ink_on(to_hex(behind))
            axes.text(j, i, _brief(share), ha="center", va="center", fontsize=6, color=ink, in_layout=False)


def _brief(share: float) -> str:
    """`100`, `53`, `7.4`: a percentage in the room of a cell."""
    return f"{100 * share:.2g}" if share < 0.995 else "100"


plots.add(
    "layers",
    Plot("layers", "layers before and after pruning, and by step", draw, "a pruning run (matrices have no layers)"),
)
