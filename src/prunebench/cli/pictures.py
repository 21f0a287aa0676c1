"""Pictures that a command writes beside what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_picture(output: str) -> None:
    """Raise ConfigError where no picture can be written, before anything is computed."""
    from prunebench.plots.style import METADATA
    from prunebench.runs.files import check_output

    if Path(output).suffix[1:] not in METADATA:
        *others, last = (f".{kind}" for kind in METADATA)
        raise ConfigError(f"--picture {output}: a picture's name ends with {', '.join(others)} or {last}.")
    check_output(Path(output))


def write_picture(picture: Callable[[], Figure], path: Path) -> None:
    """Draw a picture in the style of the house, and write it as a whole or not at all."""
    from prunebench.plots.style import render, styled
    from prunebench.runs.files import write_atomically, writing

    with styled(), writing("the picture", path):
        write_atomically(path, render(picture(), path.suffix[1:]))
