"""Layers of a model before and after a step of pruning, as bars: outputs and weights, what stays and what goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunebench.plots.bars import bars, size
from prunebench.plots.scales import percent
from prunebench.plots.style import columns, legend
from prunebench.records import Inspection
from prunebench.results.layers import averaged, together, told
from prunebench.results.tables import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BESIDE = 2.6
"""Inches of the second column of bars."""


def picture(found: Inspection) -> Figure:
    """A row per layer, as long as it has outputs, and weights, in the order of the model; what goes is pale."""
    rows = together(averaged([found.layers]))
    width, height = size(rows, BESIDE)
    left = percent(found.macs_after / found.macs) if found.macs else "100"
    title = (
        f"{found.model} for {found.inputs}: a step of {found.fraction:g} leaves {short(found.params_after)} of "
        f"{short(found.params)} parameters and {left} % of the multiply-accumulates"
    )
    title = f"{title}; {summed}" if (summed := told(rows)) else title
    figure, (first, second) = columns(title, ["outputs", "weights"], "layer", width=width, height=height, ratios=(1, 1))
    handles = bars(first, rows, "outputs")
    bars(second, rows, "weights", names=False)
    legend(figure, handles, ["left", "removed"])
    return figure
