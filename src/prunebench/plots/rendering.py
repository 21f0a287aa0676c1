"""Rendering: pictures as files, many of them by as many processes as there are cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from prunebench.errors import DataError
from prunebench.plots.registry import Picture
from prunebench.plots.style import render, styled

KINDS = ("png", "svg")

MANY = 8
"""Pictures from which on several processes draw them: to begin one takes as long as to draw one or two."""

Themed = tuple[Picture, str]
"""A picture, and the name of the theme that it is drawn in."""

_pictures: list[Themed] = []
"""Those that a process was begun for."""


def rendered(pictures: Sequence[Themed]) -> Iterator[dict[str, bytes]]:
    """The bytes of pictures, by kind, in their order.

    Processes are forked, so that each has the results at hand without reading them; where there is no fork to rely on,
    this one draws alone. The bytes are the same.

    Raises:
        DataError: a process was killed.
    """
    cores = min(len(os.sched_getaffinity(0)), len(pictures)) if sys.platform == "linux" else 1
    if cores == 1 or len(pictures) < MANY:
        yield from map(_files, pictures)
        return
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _begun, (pictures,))
    gc.freeze()  # what is there already is shared, and looking through it for garbage would copy it
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork")  # NumPy's threads wait
            yield from pool.map(_numbered, range(len(pictures)))
    except BrokenProcessPool:
        raise DataError(
            "A process that drew pictures was killed, perhaps for want of memory; try fewer runs."
        ) from None
    finally:
        gc.unfreeze()
        pool.shutdown(cancel_futures=True)


def _begun(pictures: Sequence[Themed]) -> None:
    """Begin a process: it leaves Ctrl-C to the one that began it."""
    _pictures.extend(pictures)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _numbered(number: int) -> dict[str, bytes]:
    return _files(_pictures[number])


def _files(themed: Themed) -> dict[str, bytes]:
    picture, theme = themed
    with styled(theme):
        figure = picture.make()
        return {kind: render(figure, kind) for kind in KINDS}
