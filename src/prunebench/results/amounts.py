"""Amounts: how much was asked to go, as tables, pictures and files call it."""

from __future__ import annotations

from collections.abc import Callable

from prunebench.config import TARGETS, default, to_target
from prunebench.pruning.registry import methods
from prunebench.results.settings import Settings

AMOUNT = ("fraction", *TARGETS, "sparsity_schedule", "pattern")
"""Settings that say together how much goes."""


def asked(settings: Settings, fraction: Callable[[object], str] = str) -> str:
    """`0.1`; `to 90 % sparsity in 10 steps, cubic`; `2:4`; `16x16, to 90 % sparsity in one step`.

    Args:
        settings: of a run.
        fraction: what that is called where no target stands in its place.
    """
    parts = [str(settings["pattern"])] if settings.get("pattern") is not None else []
    if not to_target(settings):
        return ", ".join([*parts, *([told] if (told := fraction(settings.get("fraction"))) else [])])
    targets = [_target(name, settings) for name in TARGETS if settings.get(name) is not None]
    steps = settings.get("iterations")
    told = "" if steps is None or not targets else " in one step" if steps == 1 else f" in {steps} steps"
    return ", ".join([*parts, *(target + told for target in targets), *_schedule(settings)])


def in_file_names(settings: Settings) -> str:
    """The same in the letters of names: `sparsity-0.9-cubic-in-10`, `16x16`, `2-4`; empty where `fraction` alone says
    it."""
    pattern = settings.get("pattern")
    parts = [] if pattern is None else [str(pattern).replace(":", "-")]
    targets = [f"{name}-{settings[name]:.10g}" for name in TARGETS if settings.get(name) is not None]
    if targets:
        steps = settings.get("iterations")
        parts += [*targets, *_schedule(settings), *([] if steps is None else [f"in-{steps}"])]
    return "-".join("".join(sign if sign.isalnum() or sign in "-." else "-" for sign in part) for part in parts)


def percent(share: float) -> str:
    """`53.14`; below a tenth of a percent, where two decimals would not tell steps apart, `0.0123`."""
    return f"{100 * share:.2f}" if share >= 1e-3 else f"{100 * share:.3g}"


def percent_left(settings: Settings, share: float) -> str:
    """The percentage by which files tell the steps of a run apart: as `percent`, or `10.09000001` where a schedule may
    end in small steps."""
    return f"{100 * share:.10g}" if to_target(settings) else percent(share)


def counted(settings: Settings) -> str:
    """What the nominal share left is one of, where a target counts something else than what goes: MACs, parameters."""
    if settings.get("macs") is not None:
        return "MACs"
    return "parameters" if settings.get("compression") is not None and not _masks(settings) else ""


def _target(name: str, settings: Settings) -> str:
    value = settings[name]
    if name == "compression":
        return f"to 1/{value:.10g} of the {'weights' if _masks(settings) else 'parameters'}"
    share = f"{100 * value:.10g} %" if isinstance(value, float) else str(value)
    return f"to {share} {'of MACs' if name == 'macs' else 'sparsity'}"


def _schedule(settings: Settings) -> list[str]:
    """The schedule, where it is not the usual one."""
    schedule = settings.get("sparsity_schedule")
    return [] if schedule in (None, default("sparsity_schedule")) else [str(schedule)]


def _masks(settings: Settings) -> bool:
    method = methods.known(settings.get("method"))
    return method is not None and method.masks
