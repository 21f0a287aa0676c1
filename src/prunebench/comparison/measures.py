"""Measures: the figures that a group of pruning runs is judged by, a value per seed in each.

Shares left are of the unpruned model, and accuracies are those on test data after fine-tuning; both 0 to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prunebench.errors import RunError
from prunebench.records import METRICS, Metric
from prunebench.results.curves import Curve

AFTER = " after fine-tuning"
"""What the name of a measure ends with that is a metric's figure after a step."""

AREA = {"macs": "area under the accuracy–MACs curve", "params": "area under the accuracy–parameters curve"}
LEFT = {"params": "parameters left at 1 point of loss", "macs": "MACs left at 1 point of loss"}

LOSS = 0.01
"""One point of accuracy."""

ROUNDING = 1e-12
"""Accuracies are fractions; what differs by less is the same number of samples."""


class Span(NamedTuple):
    """The part of a curve that an area is taken over: an axis, from 1 down to the smallest share that all reach."""

    axis: str
    down_to: float


@dataclass(frozen=True)
class Measure:
    """One figure of a group of runs.

    Attributes:
        name: a metric with AFTER, or one of AREA and LEFT.
        values: seed → the figure.
        step: that an accuracy is of; None for figures of a whole run.
        left: the nominal share left at this step.
        samples: test samples behind a metric's figure, where they are known.
        metric: what the figure is of.
        down_to: the smallest share that an area is taken down to.
        bounds: seeds whose runs ended before they lost a point: their figure is an upper bound.
    """

    name: str
    values: Mapping[int, float]
    step: int | None = None
    left: float = 1.0
    samples: int | None = None
    down_to: float | None = None
    bounds: frozenset[int] = frozenset()
    metric: Metric = METRICS["top1"]

    @property
    def of_step(self) -> bool:
        """Whether it is of a step, and not of a whole run."""
        return self.name.endswith(AFTER)

    @property
    def higher_is_better(self) -> bool:
        """As of the metric; of what is left at a loss, less is better."""
        return self.metric.higher_is_better and self.name not in LEFT.values()


def measures(group: Sequence[Curve], span: Span | None) -> list[Measure]:
    """Every measure of runs that differ in their seed alone; the area over `span`.

    A control removes nothing, so it has accuracies alone.

    Raises:
        RunError: two of the runs have the same seed.
    """
    curves = by_seed(group)
    metric = group[0].metric
    found = [_after(curves, step) for step in sorted({step for curve in group for step in curve.steps})]
    if metric.unit != "share":  # an area, and a point of loss, are of shares
        return found
    if span is not None:
        areas = {seed: area(curve, span) for seed, curve in curves.items()}
        found.append(Measure(AREA[span.axis], areas, down_to=span.down_to, metric=metric))
    for axis, name in LEFT.items():
        if not any(curve.is_control for curve in group) and _reach(group, axis) < 1:
            ends = {seed: left_at_loss(curve, axis) for seed, curve in curves.items()}
            bounds = frozenset(seed for seed, (_, fell) in ends.items() if not fell)
            found.append(Measure(name, {seed: share for seed, (share, _) in ends.items()}, bounds=bounds))
    return found


def by_seed(group: Sequence[Curve]) -> dict[int, Curve]:
    """The runs of a group by their seed, which must tell them apart.

    Raises:
        RunError: it does not.
    """
    found: dict[int, Curve] = {}
    for curve in group:
        if curve.seed in found:
            if found[curve.seed].name == curve.name:
                raise RunError(f"Run {curve.name} is there twice: name its folder, or move its copies elsewhere.")
            raise RunError(
                f"{found[curve.seed].name} and {curve.name} have the same settings and seed {curve.seed}: files of "
                "yours changed between them. Name one by its key."
            )
        found[curve.seed] = curve
    return found


def span_of(curves: Sequence[Curve]) -> Span | None:
    """Over which an area of these runs compares: MACs, or parameters where not all remove MACs; None for controls."""
    for axis in AREA:
        if (down_to := _reach(curves, axis)) < 1:
            return Span(axis, down_to)
    return None


def area(curve: Curve, span: Span) -> float:
    """The mean accuracy over a span: the area under the curve, linear between steps, divided by the span's width."""
    shares, total = curve.axes[span.axis], 0.0
    for i in range(1, len(shares)):
        high, low, above, below = shares[i - 1], shares[i], curve.after[i - 1], curve.after[i]
        end = max(low, span.down_to)
        if high > end:
            at_end = below + (above - below) * (end - low) / (high - low)
            total += (high - end) * (above + at_end) / 2
    return total / (1 - span.down_to)


def left_at_loss(curve: Curve, axis: str) -> tuple[float, bool]:
    """The smallest share left before accuracy first falls a point below the unpruned model's, and whether it fell.

    Linear between the step that holds and the one that does not. A run that never falls has its last share.
    """
    shares, bound = curve.axes[axis], curve.after[0] - LOSS
    for i in range(1, len(shares)):
        above, below = curve.after[i - 1], curve.after[i]
        if below < bound - ROUNDING:
            return shares[i - 1] + (shares[i] - shares[i - 1]) * (above - bound) / (above - below), True
    return shares[-1], False


def _reach(curves: Sequence[Curve], axis: str) -> float:
    """The smallest share that all of these reach."""
    return max(min(curve.axes.get(axis, (1.0,))) for curve in curves)


def _after(curves: Mapping[int, Curve], step: int) -> Measure:
    places = {seed: i for seed, curve in curves.items() if (i := curve.at(step)) is not None}
    (seed, i), *_ = places.items()
    first = curves[seed]
    return Measure(
        first.metric.name + AFTER,
        {seed: curves[seed].after[i] for seed, i in places.items()},
        step,
        first.axes["left"][i],
        first.tested[i] if first.tested else None,
        metric=first.metric,
    )
