"""Plots: the figures that can be drawn, one file each.

To add one, add a file that registers a Plot. Figures are drawn from curves, counts and times, which text matrices and
runs give alike; matplotlib is imported where something is drawn, and its global state stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from prunebench.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from prunebench.results.matrix_files import Results


@dataclass(frozen=True)
class Picture:
    """What a figure's files are called without their ending, and how it is drawn, which takes long and is done where it
    is looked at."""

    name: str
    make: Callable[[], Figure]

    @cached_property
    def figure(self) -> Figure:
        """The figure, drawn once."""
        return self.make()


@dataclass(frozen=True)
class Plot:
    """A registered figure.

    Attributes:
        draw: (results, axis) → its pictures, one per model or whatever it is about; none where the results lacks
            something. The axis is what it is drawn over, where it is drawn over what is left.
        by_axis: whether it is drawn over what is left, as the axis says.
        needs: what the results must hold, for messages.
        scored: whether it shows a metric, of which there may be several.
    """

    name: str
    summary: str
    draw: Callable[[Results, str], list[Picture]]
    needs: str
    by_axis: bool = False
    scored: bool = False


plots: Registry[Plot] = Registry("figure", "prunebench.plots.figures", None)
