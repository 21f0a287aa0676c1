"""Latency by the parameters that are left, a line per batch size."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from prunebench.plots.naming import OF, nominal, numbered
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.scales import quantity_axis, share_axis
from prunebench.plots.style import Look, canvas, legend, line, looks
from prunebench.plots.themes import theme
from prunebench.plots.timed import by_run, timed_slug, titles_of
from prunebench.results.amounts import percent_left
from prunebench.results.matrix_files import Counts, Results, Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: Results, axis: str) -> list[Picture]:
    """A picture per run and backend of which several steps were timed; without counts, by what is nominally left."""
    runs = [run for run in by_run(results) if len(run) > 1]
    counts = {str(sorted(counts.settings.items())): counts for counts in results.counts}
    return numbered(
        Picture(
            timed_slug("latency-by-parameters", run),
            partial(_picture, title, run, counts.get(str(sorted(run[0].settings.items())))),
        )
        for title, run in zip(titles_of(runs), runs, strict=True)
    )


def _picture(title: str, run: list[Times], counts: Counts | None) -> Figure:
    from matplotlib.lines import Line2D

    named = partial(percent_left, run[0].settings)
    left = {named(times.left): times.left for times in run}
    what = nominal(run[0].settings)
    if counts is not None:
        known = {named(share): now / counts.actual[0] for share, now in zip(counts.left, counts.actual, strict=True)}
        if left.keys() <= known.keys():
            left, what = known, f"prunable weights left, {OF}"
    figure, axes = canvas(title, what, "milliseconds per batch")
    x = [left[named(times.left)] for times in run]
    sizes = sorted({size for times in run for size in times.batch_sizes})
    handles, every = [], []
    for size, look in zip(sizes, looks(len(sizes)), strict=True):
        original, pruned = ([_at(times, size, name) for times in run] for name in ("original", "pruned"))
        axes.plot(x, original, **line(look, hollow=True, linewidth=1))
        handles += axes.plot(x, pruned, **line(look))
        every += original + pruned
    share_axis(axes, x)
    quantity_axis(axes, "y", every)
    proxy = line(looks(1)[0] if len(sizes) == 1 else Look(theme().quiet, "o"), hollow=True, linewidth=1)
    names = [f"pruned, batch {size}" for size in sizes]
    legend(figure, [*handles, Line2D([], [], **proxy)], [*names, "original"])
    return figure


def _at(times: Times, size: int, variant: str) -> float:
    """Milliseconds at a batch size; NaN where it was not timed."""
    return dict(zip(times.batch_sizes, times.ms[variant], strict=True)).get(size, float("nan"))


plots.add(
    "latency-by-parameters",
    Plot("latency-by-parameters", "latency by parameters left", draw, "timings of two steps of a run"),
)
