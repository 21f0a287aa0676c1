"""Themes: the colours of pictures and of the report, for light and for dark paper, and whether they can be read.

Lines have the colours of Okabe and Ito (2008), but for two on white paper, for which theirs are too pale: a brown and a
violet stand instead. All stay apart for the colour-blind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

LEAST_OF_LINES, LEAST_OF_TEXT = 3.0, 4.5
"""Contrast with what is behind it that a line and a text have at least (WCAG 2.1, 1.4.11 and 1.4.3)."""


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours as `#rrggbb`.

    Attributes:
        paper, raised: what is drawn on, and what stands out from it.
        ink, quiet: of text and axes; of what is there to compare with, such as controls and unpruned models.
        rule: of grids and frames, which nobody must see to read a picture.
        gone: of what was removed.
        focus, warning: of what is chosen, and what is left beside what is gone; of what is to be heeded.
        losses: of more and more that is lost, each further from the paper.
        lines: told apart by the colour-blind.
    """

    paper: str
    raised: str
    ink: str
    quiet: str
    rule: str
    gone: str
    focus: str
    warning: str
    losses: tuple[str, ...]
    lines: tuple[str, ...]


THEMES = {
    "light": Theme(
        paper="#ffffff",
        raised="#f3f5f7",
        ink="#1b1f24",
        quiet="#57606a",
        rule="#d5dae0",
        gone="#d5dae0",
        focus="#0072b2",
        warning="#9a3b00",
        losses=("#e69f00", "#d55e00"),
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#662200", "#6622cc", "#1b1f24"),
    ),
    "dark": Theme(
        paper="#14171c",
        raised="#1e232b",
        ink="#e8eaed",
        quiet="#a5adb8",
        rule="#3a424e",
        gone="#3a424e",
        focus="#56b4e9",
        warning="#f0a35e",
        losses=("#d55e00", "#e69f00"),
        lines=("#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#f0e442", "#e8eaed"),
    ),
}
DEFAULT = "light"

_now: ContextVar[Theme] = ContextVar("theme", default=THEMES[DEFAULT])


def theme() -> Theme:
    """The theme in which pictures are drawn now."""
    return _now.get()


@contextmanager
def themed(name: str) -> Iterator[Theme]:
    """Within it, a theme is that in which pictures are drawn."""
    token = _now.set(THEMES[name])
    try:
        yield THEMES[name]
    finally:
        _now.reset(token)


def contrast(one: str, other: str) -> float:
    """How well one colour is told from another by its brightness, from 1 to 21 (WCAG 2.1, "contrast ratio")."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """The black or white that is read best on a colour: its contrast is 4.58 at least, whatever the colour."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def as_text(colour: str) -> str:
    """The colour nearest to a line's, on its way to ink, that is read on the paper as text is."""
    return next(
        mixed for part in range(11) if contrast(mixed := _mixed(colour, part / 10), theme().paper) >= LEAST_OF_TEXT
    )


def _mixed(colour: str, part: float) -> str:
    """A colour with so large a part of ink."""
    pairs = zip(_bytes(colour), _bytes(theme().ink), strict=True)
    return "#" + "".join(f"{round(one + part * (ink - one)):02x}" for one, ink in pairs)


def _bytes(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _luminance(colour: str) -> float:
    values = (value / 255 for value in _bytes(colour))
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
