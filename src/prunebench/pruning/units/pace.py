"""Pace: how far finding and proving are, told where they take long."""

from __future__ import annotations

import time
from collections.abc import Callable

Pace = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is to do, as far as that can be told."""

PATIENCE = 2.0
"""Seconds in which nothing is told."""


def quiet(what: str, done: int, total: int) -> None:
    """A pace that tells nobody."""


def patient(pace: Pace, clock: Callable[[], float] = time.monotonic) -> Pace:
    """The same from two seconds after now on."""
    started = clock()

    def told(what: str, done: int, total: int) -> None:
        if clock() - started > PATIENCE:
            pace(what, done, total)

    return told
