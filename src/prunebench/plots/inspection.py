"""Layers of a model before and after a step of pruning, as bars: what stays of each, and what goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.plots.scales import percent
from prunebench.plots.style import COLOURS, WIDTH, canvas, legend
from prunebench.records import Inspection
from prunebench.results.tables import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_PER_LAYER = 0.17
INCHES_PER_LETTER = 0.06
ROOM = 20
"""Letters of a name that a picture of the usual width has room for."""

GONE = "#CCCCCC"


def picture(found: Inspection) -> Figure:
    """A bar per layer, as long as it has weights, in the order of the model; the part that goes is grey."""
    layers = found.layers
    names = [layer.name or "the model itself" for layer in layers]
    width = WIDTH + INCHES_PER_LETTER * max(0, max(map(len, names), default=0) - ROOM)
    left = percent(found.macs_after / found.macs) if found.macs else "100"
    title = f"{found.model} for {found.inputs}: a step of {found.fraction:g}"
    x = (
        f"weights; {short(found.params)} parameters before, {short(found.params_after)} after; {left} % of the "
        f"multiply-accumulates are left"
    )
    figure, axes = canvas(title, x, "layer", width=width, height=max(2.6, 1.6 + INCHES_PER_LAYER * len(layers)))
    places = range(len(layers))
    axes.barh(places, [layer.weights for layer in layers], color=GONE, label="removed")
    axes.barh(places, [layer.weights_left for layer in layers], color=COLOURS[0], label="left")
    axes.set_yticks(list(places), names, fontsize=7)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: short(round(value)))
    handles, labels = axes.get_legend_handles_labels()
    legend(figure, handles[::-1], labels[::-1])
    return figure
