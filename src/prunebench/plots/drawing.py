"""Drawing: the figures that were asked for, or all that the results allows, as bytes of PNG and SVG."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prunebench.errors import ConfigError, DataError
from prunebench.plots.registry import Picture, Plot, plots
from prunebench.plots.rendering import rendered
from prunebench.plots.themes import DEFAULT
from prunebench.results.curves import AXES
from prunebench.results.matrix_files import Results

log = logging.getLogger(__name__)


class Drawn(NamedTuple):
    """A picture as files: the figure, the picture's name, and its bytes by kind."""

    figure: str
    name: str
    files: dict[str, bytes]


def draw(
    results: Results,
    names: Sequence[str] = (),
    axis: str = "left",
    metric: str | None = None,
    themes: Sequence[str] = (DEFAULT,),
) -> Iterator[Drawn]:
    """Draw figures; without names every one that the results allows, and with a metric every one that shows one.

    Each is drawn in every theme, and called after it where that is not the default: `accuracy-net-dark`.

    Raises:
        UnknownName: there is no such figure.
        ConfigError: no curve has the axis.
        DataError: a figure that was asked for cannot be drawn, or none can.
    """
    asked: list[Plot] = [plots.get(name) for name in dict.fromkeys(names)]
    _check_axis(results, axis)
    drawn: list[tuple[Plot, Picture]] = []
    every = [plot for plot in map(plots.get, plots.names()) if plot.scored or metric is None]
    for plot in asked or every:
        pictures = plot.draw(results, axis)
        if asked and not pictures:
            raise DataError(_lacks(plot, results, axis))
        drawn += [(plot, picture) for picture in pictures]
    each = [(plot, picture, theme) for plot, picture in drawn for theme in themes]
    files = rendered([(picture, theme) for _, picture, theme in each])
    for (plot, picture, theme), content in zip(each, files, strict=True):
        parts = [picture.name, metric if plot.scored else None, None if theme == DEFAULT else theme]
        yield Drawn(plot.name, "-".join(filter(None, parts)), content)
    if not drawn:
        raise DataError(f"Nothing can be drawn of {_holds(results)}; `prunebench prune` and `efficiency` make more.")
    if not asked and axis != "left" and not any(plot.by_axis for plot, _ in drawn):
        log.warning("No accuracy is drawn over %s: along it nothing was removed.", axis)


def _check_axis(results: Results, axis: str) -> None:
    have = list(dict.fromkeys(name for curve in results.curves for name in curve.axes))
    if axis not in have and have:
        known = (
            f"no curve has {axis!r}" if axis in AXES or axis.startswith("latency@") else f"there is no axis {axis!r}"
        )
        raise ConfigError(f"--axis: {known}; there are: {', '.join(have)}.")


def _lacks(plot: Plot, results: Results, axis: str) -> str:
    over = "" if axis == "left" else f" over {axis!r}"
    return f"The figure {plot.name!r} cannot be drawn{over}: it needs {plot.needs}; there are {_holds(results)}."


def _holds(results: Results) -> str:
    """`3 curves, 0 parameter counts, 10 timed steps`."""
    return f"{len(results.curves)} curves, {len(results.counts)} counts of parameters, {len(results.times)} timed steps"
