"""Board: the criteria of each model and budget in order, with what tells them apart.

What is compared is fixed beforehand (family.py): accuracy after the last step, paired by seed. Ranks need every two
criteria of a table: they are a second family, corrected by itself. Areas are shown with intervals and not tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import isnan, nan
from statistics import fmean, median
from typing import NamedTuple

import msgspec

from prunebench.comparison.family import Cell, Family, Fixed, history
from prunebench.comparison.measures import area, by_seed, span_of
from prunebench.results.curves import AXES, Curve
from prunebench.statistics import MeanInterval, holm, mean_difference, mean_interval

ALPHA = 0.05
"""Two are told apart where the corrected p-value is at most this."""


class Spread(msgspec.Struct, frozen=True):
    """A mean over `n` seeds and its 95 % interval; the ends are NaN where there is none."""

    n: int
    mean: float
    low: float
    high: float


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """The mean difference from another criterion within a seed.

    The interval holds together with those of all comparisons that are corrected with it, in 95 % (Bonferroni); its ends
    are NaN where there is none. `p` is two-sided and corrected likewise (Holm 1979); NaN where nothing was tested.
    """

    other: str
    n: int
    difference: float
    low: float
    high: float
    p: float = nan

    @property
    def told(self) -> bool:
        """Whether the two are told apart."""
        return self.p <= ALPHA


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion.

    Attributes:
        ranks: the best and the worst rank that it may have, in 95 % those of all criteria of the table together.
        score: of test data after the last step.
        against: one per criterion that others are compared with; None for itself, and where there are no runs yet.
        area: the mean accuracy over what is left (measures.py), and its differences likewise, without p.
        seconds: that a pruning step takes, median over steps and seeds.
    """

    ranks: tuple[int, int]
    criterion: str
    score: Spread
    against: tuple[Paired | None, ...]
    area: Spread | None
    area_against: tuple[Paired | None, ...]
    seconds: float


class Line(msgspec.Struct, frozen=True):
    """A model of which nothing was removed."""

    name: str
    score: Spread


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One model with one budget.

    Attributes:
        against: the criteria that others are compared with.
        metric: what is compared; `share` says whether it is one, of which differences are told in points.
        axis: what areas are taken over, in words; None where there are none. `down_to` is how far.
        left: axis → share of the unpruned model that is left after the last step, mean over runs.
        together: comparisons that are corrected together; `missing` of those of this table lack runs.
        ranked: pairs that ranks are made of, corrected together.
        absent: criteria that have no finished run.
    """

    title: str
    against: tuple[str, ...]
    metric: str
    share: bool
    axis: str | None
    down_to: float
    left: dict[str, float]
    together: int
    missing: int
    ranked: int
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    absent: tuple[str, ...]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """All tables, and in sentences which comparisons they hold and what fixed them."""

    told: tuple[str, ...]
    tables: tuple[Table, ...]


class Compared(NamedTuple):
    """A cell, its runs by criterion and seed, its comparisons, and how many are corrected together with them."""

    cell: Cell
    groups: Mapping[str, Mapping[int, Curve]]
    tested: Mapping[tuple[str, str], tuple[MeanInterval, float]]
    tests: int


def board(family: Family, curves: Sequence[Curve], fixed: Sequence[Fixed] = (), file: str = "") -> Board:
    """The board of a family, as far as its runs are there.

    Args:
        family: what is compared.
        curves: of the study's runs, all of one metric.
        fixed: when the family was fixed, and every change.
        file: the study's.
    """
    by_key = {curve.name: curve for curve in curves}
    found = []
    for cell in family.cells:
        groups, tests = _finished(cell, by_key), family.corrected_with(cell)
        found.append(Compared(cell, groups, _tested(cell.pairs, scores_of(groups), tests), tests))
    # what lacks runs counts as not told apart, so that no p gets larger with the runs that come
    ps = [[of.tested[pair][1] if pair in of.tested else 1.0 for pair in of.cell.pairs] for of in found]
    if family.together == "study":
        flat = iter(holm([p for of in ps for p in of]))
        corrected = [[next(flat) for _ in of] for of in ps]
    else:
        corrected = [holm(of) for of in ps]
    tables = [
        _table(of, dict(zip(of.cell.pairs, right, strict=True)), by_key)
        for of, right in zip(found, corrected, strict=True)
        if of.groups
    ]
    text = fixed[-1].text if fixed else "as `study.json` has them"
    named = f" of {file}" if file else ""
    said = f"{_count(family.size, 'comparison')}{named}, in {_count(len(family.cells), 'table')}: {text}."
    return Board(told=(said, *history(fixed)), tables=tuple(tables))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def scores_of(groups: Mapping[str, Mapping[int, Curve]]) -> dict[str, dict[int, float]]:
    """Criterion → seed → figure on test data after the last step."""
    return {name: {seed: curve.after[-1] for seed, curve in of.items()} for name, of in groups.items()}


def _finished(cell: Cell, by_key: Mapping[str, Curve]) -> dict[str, dict[int, Curve]]:
    """Criterion → seed → run up to the last step of the cell, of those that have come as far."""
    there = {name: [by_key[key] for key in keys if key in by_key] for name, keys in cell.entries.items()}
    last = cell.steps or max((curve.steps[-1] for of in there.values() for curve in of), default=0)
    found = {name: by_seed([curve.up_to(last) for curve in of if last in curve.steps]) for name, of in there.items()}
    return {name: of for name, of in found.items() if of}


def _tested(
    pairs: Sequence[tuple[str, str]], values: Mapping[str, Mapping[int, float]], tests: int
) -> dict[tuple[str, str], tuple[MeanInterval, float]]:
    """Pair → its mean difference within a seed and p, where two seeds or more have both."""
    found = {}
    for a, b in pairs:
        seeds = sorted(values.get(a, {}).keys() & values.get(b, {}).keys())
        if len(seeds) > 1:
            # rounded, so that as many samples more are as large a difference wherever they are
            found[a, b] = mean_difference([round(values[a][seed] - values[b][seed], 12) for seed in seeds], tests)
    return found


def _table(found: Compared, ps: Mapping[tuple[str, str], float], by_key: Mapping[str, Curve]) -> Table:
    cell, groups, tested, tests = found
    curves = [curve for of in groups.values() for curve in of.values()]
    metric, scores = curves[0].metric, scores_of(groups)
    span = span_of(curves) if metric.unit == "share" else None
    areas = (
        {name: {seed: area(curve, span) for seed, curve in of.items()} for name, of in groups.items()} if span else {}
    )
    of_areas = _tested(cell.pairs, areas, tests)
    ranks = _ranks(cell, scores, metric.higher_is_better)
    rows = [
        Row(
            ranks=ranks[name],
            criterion=name,
            score=_spread(scores[name], metric.unit == "share"),
            against=tuple(_paired(name, other, tested, ps) for other in cell.against),
            area=_spread(areas[name]) if span else None,
            area_against=tuple(_paired(name, other, of_areas) for other in cell.against),
            seconds=_seconds(of.values()),
        )
        for name, of in groups.items()
    ]
    best = -1 if metric.higher_is_better else 1
    return Table(
        title=cell.title,
        against=cell.against,
        metric=metric.title,
        share=metric.unit == "share",
        axis=AXES[span.axis].removesuffix(" left") if span else None,
        down_to=span.down_to if span else nan,
        left={axis: fmean(curve.axes[axis][-1] for curve in curves) for axis in ("params", "macs")},
        together=tests,
        missing=len(cell.pairs) - len(tested),
        ranked=len(cell.entries) * (len(cell.entries) - 1) // 2,
        rows=tuple(sorted(rows, key=lambda row: (best * row.score.mean, row.ranks, row.criterion))),
        lines=tuple(_lines(cell, curves, by_key)),
        absent=tuple(name for name in cell.entries if name not in groups),
    )


def _ranks(cell: Cell, scores: Mapping[str, Mapping[int, float]], higher_is_better: bool) -> dict[str, tuple[int, int]]:
    """Criterion → the ranks that it may have: from 1 + how many of its table are better, to how many are not worse.

    Every two are compared, and corrected for together (Mogstad, Romano, Shaikh, Wilhelm 2024, Inference for Ranks,
    doi 10.1093/restud/rdad006).
    """
    pairs = list(combinations(cell.entries, 2))
    tested = _tested(pairs, scores, 1)
    ps = holm([tested.get(pair, (None, 1.0))[1] for pair in pairs])
    best, worst = dict.fromkeys(scores, 1), dict.fromkeys(scores, len(cell.entries))
    for (a, b), p in zip(pairs, ps, strict=True):
        if p <= ALPHA:
            better, worse = (a, b) if (tested[a, b][0].mean > 0) == higher_is_better else (b, a)
            best[worse] += 1
            worst[better] -= 1
    return {name: (best[name], worst[name]) for name in scores}


def _paired(
    name: str,
    other: str,
    tested: Mapping[tuple[str, str], tuple[MeanInterval, float]],
    ps: Mapping[tuple[str, str], float] | None = None,
) -> Paired | None:
    """How one differs from another, whichever way round the two are compared."""
    sign, pair = (1, (name, other)) if (name, other) in tested else (-1, (other, name))
    if pair not in tested:
        return None
    found, _ = tested[pair]
    low, high = (found.low, found.high) if sign > 0 else (-found.high, -found.low)
    p = nan if ps is None else ps[pair]
    return Paired(other=other, n=found.n, difference=sign * found.mean + 0.0, low=low, high=high, p=p)


def _lines(cell: Cell, curves: Sequence[Curve], by_key: Mapping[str, Curve]) -> list[Line]:
    """The unpruned model, and the same trained for as many epochs as what was pruned."""
    step, dense = curves[0].steps[-1], {curve.seed: curve.after[0] for curve in curves}
    controls = [by_key[key] for key in cell.controls if key in by_key]
    longer = {curve.seed: curve.after[i] for curve in controls if (i := curve.at(step)) is not None}
    share = curves[0].metric.unit == "share"
    lines = [Line("trained on, nothing removed", _spread(longer, share))] if longer else []
    return [*lines, Line("unpruned", _spread(dense, share))]


def _seconds(curves: Iterable[Curve]) -> float:
    """Of a pruning step without what is trained or evaluated after it."""
    return median(record.seconds.prune for curve in curves for record in curve.records if record.step)


def _spread(values: Mapping[int, float], share: bool = True) -> Spread:
    """A mean over seeds; of a share the interval ends at 0 and 1."""
    found = mean_interval([values[seed] for seed in sorted(values)])
    if isnan(found.low) or not share:
        return Spread(found.n, found.mean, found.low, found.high)
    return Spread(found.n, found.mean, max(0.0, found.low), min(1.0, found.high))
