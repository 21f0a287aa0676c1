"""Bars: layers before and after pruning, a row each in the order of the model, with the numbers at the bars' ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from prunebench.plots.style import WIDTH
from prunebench.plots.themes import theme
from prunebench.results.layers import Layer
from prunebench.results.tables import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

What = Literal["outputs", "weights"]

INCHES_PER_LAYER = 0.19
INCHES_PER_LETTER = 0.06
ROOM = 20
"""Letters of a name that a picture of the usual width has room for."""

HIGH = 0.74
"""A bar, in rows."""

AT_END = 0.55
"""Room for the numbers behind the longest bar, in bars of its length."""


def size(rows: Sequence[Layer], beside: float = 0.0) -> tuple[float, float]:
    """Width and height in inches of a picture with a row per layer, and some inches `beside` it."""
    longest = max((len(named(row)) for row in rows), default=0)
    width = WIDTH + beside + INCHES_PER_LETTER * max(0, longest - ROOM)
    return width, max(2.6, 1.6 + INCHES_PER_LAYER * len(rows))


def named(row: Layer) -> str:
    """`layer1.0.conv1`, or `encoder.layer.0 (6)` where six layers are one row."""
    return row.name if row.layers == 1 else f"{row.name} ({row.layers})"


def bars(axes: Axes, rows: Sequence[Layer], what: What, *, names: bool = True) -> list[Patch]:
    """Draw what each layer had, pale, and has left, filled; returns what a legend shows of what is left and gone."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator

    before = [getattr(row, what) for row in rows]
    left = [getattr(row, f"{what}_left") for row in rows]
    places = range(len(rows))
    pale: dict[str, Any] = {"facecolor": theme().gone, "edgecolor": theme().quiet, "linewidth": 0.6}
    filled: dict[str, Any] = {"facecolor": theme().focus}
    axes.barh(places, before, HIGH, **pale)
    axes.barh(places, left, HIGH, **filled)
    longest = max(before, default=1)
    for place, (old, new) in enumerate(zip(before, left, strict=True)):
        at: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "in_layout": False}
        axes.annotate(_change(old, new), (old, place), fontsize=7, **at)
    axes.set_xlim(0, longest * (1 + AT_END))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(list(places), [named(row) for row in rows] if names else [], fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.set_xticks([tick for tick in MaxNLocator(4, integer=True).tick_values(0, longest) if 0 <= tick <= longest])
    axes.xaxis.set_major_formatter(lambda value, _: _number(value))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines["bottom"].set_bounds(0, longest)
    return [Patch(**filled), Patch(**pale)]


def _change(before: float, left: float) -> str:
    """`64 → 31`, `2.36 M → 590 k`; of what has not changed the number alone."""
    old, new = _number(before), _number(left)
    return f"{old} → {new}" if before != left else old


def _number(value: float) -> str:
    """`4096`, `16.8 M`; of a small mean over seeds, `31.5`."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}" if value < 9999.5 else short(round(value))
