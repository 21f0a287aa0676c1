"""What is lost where each layer is pruned alone, as a heat map: layers down, shares across (Han et al. 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.plots.scales import percent
from prunebench.plots.style import WIDTH, canvas
from prunebench.plots.themes import ink_on, theme
from prunebench.results.sensitivity import Grid, scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_PER_LAYER = 0.2
INCHES_PER_LETTER = 0.06
ROOM = 24
"""Letters of a name that a picture of the usual width has room for."""

LEAST = 0.1
"""The loss that the last shade stands for at least: what may be chance is not to look like a loss."""


def picture(grid: Grid) -> Figure:
    """A row per layer, in the order of the model, and a column per share; each cell has its score as a number, and the
    further from the paper its colour is, the more is lost."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    first, metric = grid.first, grid.metric
    what = "layer" if first.kind == "weights" else "group of units"
    title = (
        f"{first.model} on {first.dataset}: {metric.title} with each {what} pruned alone, {first.method} by "
        f"{first.criterion}"
    )
    width = WIDTH + INCHES_PER_LETTER * max(0, max(map(len, grid.layers)) - ROOM)
    height = max(2.8, 1.9 + INCHES_PER_LAYER * len(grid.layers))
    below = f"share that is removed; {scored(grid)}"
    down = "layer" if first.kind == "weights" else "first layer of the group"
    figure, axes = canvas(title, below, down, width=width, height=height)
    lost = [[grid.lost(layer, share) for share in grid.shares] for layer in grid.layers]
    most = max(LEAST, *(value for row in lost for value in row))
    colours = LinearSegmentedColormap.from_list("lost", (theme().paper, *theme().losses))
    image = axes.imshow(lost, cmap=colours, vmin=0, vmax=most, aspect="auto")
    for i, layer in enumerate(grid.layers):
        for j, share in enumerate(grid.shares):
            ink = ink_on(to_hex(colours(lost[i][j] / most)))
            axes.text(j, i, f"{grid.score(layer, share):.3f}", ha="center", va="center", fontsize=7, color=ink)
    axes.set_xticks(range(len(grid.shares)), [f"{percent(share)} %" for share in grid.shares])
    axes.set_yticks(range(len(grid.layers)), grid.layers, fontsize=7)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=max(8.0, 4 * height))
    bar.set_label(f"{metric.title} lost")
    bar.outline.set_visible(False)
    return figure
