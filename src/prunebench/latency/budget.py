"""Budget: seconds of timing, divided among what is still to be timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Budget:
    """Seconds that are shared out by weight; what one share leaves over goes to those after it.

    Args:
        seconds: in all.
        weights: of every share that will be asked for, in any order.
    """

    def __init__(self, seconds: float, weights: Iterable[float]) -> None:
        self._seconds = seconds
        self._weight = sum(weights)

    @contextmanager
    def share(self, weight: float) -> Iterator[float]:
        """The seconds of one share; what is really used within the block is taken off."""
        start = time.perf_counter()
        try:
            yield max(0.0, self._seconds * weight / self._weight)
        finally:
            self._seconds -= time.perf_counter() - start
            self._weight -= weight
