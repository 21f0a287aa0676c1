"""Gains: what the pattern of pruning gains where it was timed, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunebench.latency.layouts import Layout
from prunebench.latency.sparse import LEAST
from prunebench.pruning.granularity import Pattern
from prunebench.records import SparseLayer

NAMED = 4
"""Layers that a sentence names; others are counted."""


def gains(
    pattern: Pattern | None, layouts: Sequence[Layout], why: str, layers: Sequence[SparseLayer]
) -> tuple[str, ...]:
    """What is to be said of a step.

    Args:
        pattern: that its weights were pruned by.
        layouts: that were tried, the pattern's own one last, unless there is a reason `why` it has none here.
        layers: what was timed of the step, at any batch size.
    """
    if pattern is None:
        return ()
    if why:
        return tuple(_nothing(pattern.name, why, layers))
    own = layouts[-1].name
    if any(layer.chosen and layer.layout == own for layer in layers):
        return tuple(_unfit(own, layers))
    fitting = [layer for layer in layers if own not in layer.unfit]
    none = f"no linear layer is {100 * LEAST:g} % sparse" if not layers else f"no linear layer can be stored as {own}"
    why = f"stored as {own} no linear layer is quickest" if fitting else none
    return (*_nothing(pattern.name, why, layers), *_unfit(own, layers))


def _nothing(pattern: str, why: str, layers: Sequence[SparseLayer]) -> Iterator[str]:
    yield f"{pattern} gains nothing here: {why}."
    if others := sorted({layer.layout for layer in layers if layer.chosen}):
        yield f"What its linear layers gain, they gain as any zeros do, stored as {others[0]}."


def _unfit(own: str, layers: Sequence[SparseLayer]) -> Iterator[str]:
    """Which layers cannot be stored as the pattern is, and why."""
    reasons: dict[str, dict[str, None]] = {}
    for layer in layers:
        if own in layer.unfit:
            rows, columns = layer.shape
            reasons.setdefault(layer.unfit[own], {})[f"{layer.name} ({rows} × {columns})"] = None
    for reason, names in reasons.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"Not stored as {own}, being {reason}: {', '.join([*names][:NAMED])}{more}."
