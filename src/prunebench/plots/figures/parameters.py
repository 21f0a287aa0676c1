"""Masked against actual parameters: what masking filters would leave to multiply, and what pruned models have."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prunebench.plots.naming import nominal, numbered, slug_of, titles
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import count_axis, share_axis
from prunebench.plots.style import canvas, legend, line, looks
from prunebench.plots.themes import theme
from prunebench.results.matrix_files import Counts, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, axis: str) -> list[Picture]:
    """A picture per run that removed whole units."""
    every = sorted(results.counts, key=lambda counts: str(sorted(counts.settings.items())))
    return numbered(
        Picture(slug_of("parameters", counts.settings), partial(_picture, title, counts))
        for title, counts in zip(titles([counts.settings for counts in every]), every, strict=True)
    )


def _picture(title: str, counts: Counts) -> Figure:
    figure, axes = canvas(title, nominal(counts.settings), "prunable weights")
    masked, actual = looks(2)
    handles = [
        axes.axhline(counts.actual[0], color=theme().quiet, linestyle=(0, (6, 3)), linewidth=1.2),
        *axes.plot(counts.left, counts.masked, **line(masked, hollow=True)),
        *axes.plot(counts.left, counts.actual, **line(actual)),
    ]
    share_axis(axes, counts.left)
    count_axis(axes)
    legend(figure, handles, ["unpruned", "masked", "pruned physically"])
    return figure


plots.add(
    "parameters",
    Plot("parameters", "masked against actual parameters", draw, "a num_params matrix or a structured run"),
)
