"""Style: what every picture looks like, and how it becomes the same bytes every time.

Colours are those of a theme; markers and dashes tell lines apart in grey.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from prunebench.plots.themes import DEFAULT, Theme, theme, themed

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ("-", "-.", ":")
"""Of a line and those whose colours were there before."""

RC: dict[Any, Any] = {
    "axes.formatter.use_mathtext": False,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 150,
    "figure.titlesize": 11,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "savefig.dpi": 150,
    "svg.hashsalt": "prunebench",
    "text.parse_math": False,  # names are shown as they are, dollars too
}
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
PAPERED = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "savefig.edgecolor", "figure.edgecolor")

METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}
"""What files are not to tell, since it changes from day to day."""

WIDTH, HEIGHT = 6.4, 4.4
"""Inches, without the legend."""

LETTERS = 80
"""That fit side by side into a picture of that width."""


class Look(NamedTuple):
    """Colour, marker and dashes of a line."""

    color: str
    marker: str
    dashes: str = "-"


def looks(count: int) -> list[Look]:
    """As many different ones."""
    dashed = (dashes for dashes in cycle(DASHES) for _ in theme().lines)
    return [Look(*each) for each in islice(zip(cycle(theme().lines), cycle(MARKERS), dashed), count)]


@contextmanager
def styled(name: str = DEFAULT) -> Iterator[None]:
    """Within it, figures are made and written in this style and a theme, whatever the user's matplotlibrc says."""
    import matplotlib

    with matplotlib.rc_context(), themed(name) as of:
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC | _coloured(of))
        yield


def _coloured(of: Theme) -> dict[Any, Any]:
    return dict.fromkeys(INKED, of.ink) | dict.fromkeys(PAPERED, of.paper) | {"grid.color": of.rule}


def canvas(title: str, x: str, y: str, *, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """An empty picture with its words."""
    figure, (axes,) = columns(title, [x], y, width=width, height=height)
    return figure, axes


def columns(
    title: str, xs: Sequence[str], y: str, *, width: float, height: float, ratios: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    """An empty picture of several axes side by side, as wide as `ratios` say, with its words."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    (found,) = figure.subplots(1, len(xs), width_ratios=ratios, squeeze=False)
    figure.suptitle(_wrapped(title, _letters(width) - 12), x=0.01, ha="left")
    for axes, x, ratio in zip(found, xs, ratios, strict=True):
        axes.set_xlabel(_wrapped(x, int((_letters(width) - 8) * ratio / sum(ratios))))
    found[0].set_ylabel(_wrapped(y, 48))
    return figure, list(found)


def _letters(width: float) -> int:
    """That fit side by side into a picture of so many inches."""
    return int(LETTERS * width / WIDTH)


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend below the axes; the picture grows by it."""
    width, height = figure.get_size_inches()
    letters = _letters(width)
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
    kind = {"linestyle": "--", "markerfacecolor": theme().paper} if hollow else {"linestyle": look.dashes}
    return {"color": look.color, "marker": look.marker, **kind, **about}


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(" ".join(text.split()), width)
