"""Pictures that a command writes beside what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunebench.errors import ConfigError
from prunebench.plots.themes import DEFAULT, THEMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def theme_option(*more: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: --theme, the name of a theme or one of a few words more."""
    return click.option(
        "--theme",
        type=click.Choice([*THEMES, *more]),
        default=DEFAULT,
        show_default=True,
        help="Colours of pictures, for light or for dark paper.",
    )


def check_picture(output: str) -> None:
    """Raise ConfigError where no picture can be written, before anything is computed."""
    from prunebench.plots.style import METADATA
    from prunebench.runs.files import check_output

    if Path(output).suffix[1:] not in METADATA:
        *others, last = (f".{kind}" for kind in METADATA)
        raise ConfigError(f"--picture {output}: a picture's name ends with {', '.join(others)} or {last}.")
    check_output(Path(output))


def write_picture(picture: Callable[[], Figure], path: Path, theme: str) -> None:
    """Draw a picture in the style of the house and a theme, and write it as a whole or not at all."""
    from prunebench.plots.style import render, styled
    from prunebench.runs.files import write_atomically, writing

    with styled(theme), writing("the picture", path):
        write_atomically(path, render(picture(), path.suffix[1:]))
