"""Style: what every picture looks like, and how it becomes the same bytes every time.

Colours are those of Okabe and Ito (2008), told apart by the colour-blind; markers and dashes tell lines apart in grey.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
GREY = "#666666"
"""Of what is there to compare with: controls, bounds, unpruned models."""

RC: dict[Any, Any] = {
    "axes.formatter.use_mathtext": False,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 150,
    "figure.titlesize": 11,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 150,
    "svg.hashsalt": "prunebench",
    "text.parse_math": False,  # names are shown as they are, dollars too
}
METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
"""What files are not to tell, since it changes from day to day."""

WIDTH, HEIGHT = 6.4, 4.4
"""Inches, without the legend."""

LETTERS = 80
"""That fit side by side into a picture of that width."""


class Look(NamedTuple):
    """Colour and marker of a line."""

    color: str
    marker: str


def looks(count: int) -> list[Look]:
    """As many different ones."""
    return [Look(*pair) for pair in islice(zip(cycle(COLOURS), cycle(MARKERS)), count)]


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are made and written in this style, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def canvas(title: str, x: str, y: str, *, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty picture with its words."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    figure.suptitle(_wrapped(title, 68), x=0.01, ha="left")
    axes.set_xlabel(_wrapped(x, LETTERS - 8))
    axes.set_ylabel(_wrapped(y, 48))
    return figure, axes


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend below the axes; the picture grows by it."""
    width, height = figure.get_size_inches()
    letters = int(LETTERS * width / WIDTH)
    longest = max(map(len, labels))
    columns = max(1, min(3, len(labels), letters // (longest + 5)))
    wrapped = [_wrapped(label, letters - 8) for label in labels]
    lines = -(-sum(label.count("\n") + 1 for label in wrapped) // columns)
    figure.set_size_inches(width, height + 0.2 * lines + 0.1)
    figure.legend(handles, wrapped, loc="outside lower center", ncols=columns)


def render(figure: Figure, kind: str) -> bytes:
    """The bytes of a `png`, an `svg` or a `pdf`; within `styled`.

    A picture is laid out when it is rendered for the first time: that takes as long as drawing it.
    """
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=METADATA[kind])
    return stream.getvalue()


def line(look: Look, *, hollow: bool = False, **about: Any) -> dict[str, Any]:
    """Keywords of a line: filled markers and solid, or hollow and dashed."""
    kind = {"linestyle": "--", "markerfacecolor": "white"} if hollow else {"linestyle": "-"}
    return {"color": look.color, "marker": look.marker, **kind, **about}


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(" ".join(text.split()), width)
