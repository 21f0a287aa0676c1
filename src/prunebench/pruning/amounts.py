"""Amounts: how much goes in a step, of what is left or on the way to a target; the registry of schedules.

A target is what is gone in the end, as a share of the original: of weights or units (`sparsity`), of parameters
(`compression`: so many times fewer), of multiply-accumulates (`macs`: the share that is left); or what a pattern such
as 2:4 says. A schedule says how much is gone after each of the iterations. Without a target each of them takes
`fraction` of what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prunebench.config import TARGETS, RunConfig, Settings
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.registry import Method
from prunebench.registry import Registry


@dataclass(frozen=True)
class Schedule:
    """A registered schedule.

    Attributes:
        summary: its formula, with s for the target and t for the share of the iterations done, and the paper.
        gone: (target, t from 0 to 1) → share of the original that is gone; 0 at t = 0, the target at t = 1.
        at_once: whether one iteration takes all, so that there are no more.
    """

    name: str
    summary: str
    gone: Callable[[float, float], float]
    at_once: bool = False


schedules: Registry[Schedule] = Registry("sparsity schedule", "prunebench.pruning.schedules", None)


def named(config: RunConfig) -> list[str]:
    """Those settings of a config that say what is gone in the end, `pattern` among them."""
    decides = config.pattern is not None and read_pattern(config.pattern).left is not None
    return ["pattern"] * decides + [name for name in TARGETS if getattr(config, name) is not None]


def target(settings: Settings) -> float | None:
    """What is gone in the end, as a share of the original; None where each iteration takes `fraction`."""
    if settings.sparsity is not None:
        return settings.sparsity
    if settings.compression is not None:
        return 1 - 1 / settings.compression
    if settings.macs is not None:
        return 1 - settings.macs
    share = None if settings.pattern is None else read_pattern(settings.pattern).left
    return None if share is None else 1 - share


def gone(settings: Settings, step: int) -> float | None:
    """What is gone after a step of the iterations, as a share of the original; None as of `target`."""
    if (end := target(settings)) is None:
        return None
    if step in (0, settings.iterations):
        return end if step else 0.0
    return schedules.get(settings.sparsity_schedule).gone(end, min(1.0, step / settings.iterations))


def left(settings: Settings, method: Method, step: int) -> float:
    """The nominal share that is left after a step: of weights or units, or of what the target counts."""
    found = gone(settings, step) if method.removes else None
    return method.left(settings.fraction, step) if found is None else 1 - found


def step_fraction(settings: Settings, step: int) -> float:
    """The share of what is left that a step removes, nominally."""
    before, after = (gone(settings, at) for at in (max(0, step - 1), step))
    return settings.fraction if before is None or after is None else 1 - (1 - after) / (1 - before)


def amount(settings: Settings, method: Method, step: int) -> dict[str, float]:
    """The fields of a request that say how much a step removes."""
    found = {"fraction": step_fraction(settings, step)}
    share = gone(settings, step)
    if share is None:
        return found
    if settings.macs is not None:
        return found | {"macs_left": 1 - share}
    if settings.compression is not None and not method.masks:
        return found | {"params_left": 1 - share}
    return found | {"gone": share}
