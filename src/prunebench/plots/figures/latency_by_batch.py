"""Latency by batch size, of the original, the masked and the pruned model, at the most pruned step that was timed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prunebench.plots.naming import numbered
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import quantity_axis, size_axis
from prunebench.plots.style import Look, canvas, legend, line, looks
from prunebench.plots.themes import theme
from prunebench.plots.timed import by_run, left_of, timed_slug, titles_of
from prunebench.results.matrices import TIMED
from prunebench.results.matrix_files import Results, Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, axis: str) -> list[Picture]:
    """A picture per run and backend."""
    runs = by_run(results)
    return numbered(
        Picture(timed_slug("latency-by-batch", run), partial(_picture, f"{title}, {left_of(run[-1])}", run[-1]))
        for title, run in zip(titles_of(runs), runs, strict=True)
    )


def _picture(title: str, times: Times) -> Figure:
    figure, axes = canvas(title, "batch size", "milliseconds per batch")
    pruned, masked = looks(2)
    styles = {"original": line(Look(theme().quiet, "D")), "masked": line(masked, hollow=True), "pruned": line(pruned)}
    handles = [drawn for name in TIMED for drawn in axes.plot(times.batch_sizes, times.ms[name], **styles[name])]
    size_axis(axes, times.batch_sizes)
    quantity_axis(axes, "y", [ms for row in times.ms.values() for ms in row])
    legend(figure, handles, ["original", "masked (no speed-up expected)", "pruned"])
    return figure


plots.add(
    "latency-by-batch",
    Plot("latency-by-batch", "latency by batch size", draw, "an efficiency matrix or timings (prunebench efficiency)"),
)
