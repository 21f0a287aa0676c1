"""The protocol of timing: in alternation, in random order within a round, after warm-up, until it is sure enough.

Knows no torch, so that exported files are timed by it where there is none.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, Literal, TypeVar

from prunebench.errors import Stopped
from prunebench.statistics import paired_speedup

Name = TypeVar("Name", bound=Hashable)

Stopwatch = Callable[[Callable[[], object]], float]
"""Runs a call and returns the milliseconds that it took."""

WINDOW = 3
"""Rounds over which warm-up compares medians."""

FALLS = 0.01
"""A variant still warms up while the median of a window is lower than the one before by more than this share."""

WARM_UP_SHARE = 0.25
"""Of the time, what warm-up may use up."""

FIRST_LOOK = 10
"""Rounds before the interval is looked at. After that it is looked at whenever a fifth more rounds are there: the
more often one looks, the more often the interval is narrow by chance."""

BRIEF = 6
"""Rounds that a variant takes part in of which nothing is awaited: the fewest of which a median has an interval."""

BRIEF_SHARE = 0.1
"""Of the time, after which it takes part in no further one."""


@dataclass(frozen=True)
class Samples(Generic[Name]):
    """Milliseconds of every variant, a sample per round, and how the rounds began and ended.

    Samples of what is timed briefly are those of the first rounds.
    """

    samples_ms: dict[Name, tuple[float, ...]]
    warmup_rounds: int
    ended: Literal["interval", "budget"]


def on_the_clock(call: Callable[[], object]) -> float:
    """Stopwatch of calls that return when they are done."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def alternate(
    variants: Mapping[Name, Callable[[], object]],
    pairs: Sequence[tuple[Name, Name]],
    *,
    seconds: float,
    ci_width: float,
    seed: int,
    at_least: int = 1,
    briefly: Collection[Name] = (),
    stopwatch: Stopwatch = on_the_clock,
    stop: Callable[[], bool] | None = None,
) -> Samples[Name]:
    """Time each variant once per round until the speed-up of every pair is known well enough.

    Args:
        variants: name → call.
        pairs: (baseline, other): of each, the 95 % interval of the median paired ratio is to become narrow.
        seconds: after which no further round begins.
        ci_width: how narrow, as half the interval relative to the ratio: 0.03 is ±3 %.
        seed: of the order within rounds.
        at_least: rounds that are made in any case.
        briefly: names of variants, of none of the pairs, that are timed in the first rounds alone: BRIEF, or as many as
            BRIEF_SHARE of the time allows, one at least.
        stopwatch: times one call.
        stop: asked before every round whether to stop.

    Raises:
        Stopped: `stop` asked for it.
    """
    start = time.perf_counter()
    draw = random.Random(seed)
    order = list(variants)

    def one_round(whole: bool = False) -> dict[Name, float]:
        if stop is not None and stop():
            raise Stopped("Stopped while timing.")
        draw.shuffle(order)
        return {name: stopwatch(variants[name]) for name in order if whole or name not in briefly}

    one_round(whole=True)  # allocations, choices of kernels, compilation
    warmup_rounds = 1 + _warm_up(one_round, start + WARM_UP_SHARE * seconds)
    rounds: list[dict[Name, float]] = []
    look = max(FIRST_LOOK, at_least)
    while True:
        spent = sum(sample[name] for sample in rounds[:BRIEF] for name in briefly if name in sample) / 1e3
        rounds.append(one_round(whole=not rounds or (len(rounds) < BRIEF and spent < BRIEF_SHARE * seconds)))
        if len(rounds) >= look:
            look = len(rounds) + max(1, len(rounds) // 5)
            if pairs and all(_narrow(rounds, pair, ci_width) for pair in pairs):
                return Samples(_columns(rounds, variants), warmup_rounds, "interval")
        if len(rounds) >= at_least and time.perf_counter() >= start + seconds:
            return Samples(_columns(rounds, variants), warmup_rounds, "budget")


def _warm_up(one_round: Callable[[], dict[Name, float]], end: float) -> int:
    """Rounds that do not count, until no variant's median falls any more; returns how many."""
    count, before = 0, None
    while time.perf_counter() < end:
        window = [one_round() for _ in range(WINDOW)]
        count += WINDOW
        now = {name: median(sample[name] for sample in window) for name in window[0]}
        if before is not None and all(now[name] >= (1 - FALLS) * before[name] for name in now):
            break
        before = now
    return count


def _narrow(rounds: Sequence[Mapping[Name, float]], pair: tuple[Name, Name], ci_width: float) -> bool:
    baseline, other = ([sample[name] for sample in rounds] for name in pair)
    return paired_speedup(baseline, other).half_width <= ci_width  # false for NaN


def _columns(rounds: Sequence[Mapping[Name, float]], names: Iterable[Name]) -> dict[Name, tuple[float, ...]]:
    return {name: tuple(sample[name] for sample in rounds if name in sample) for name in names}
