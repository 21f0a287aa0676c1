"""What each layer's pruning loses, layers by shares: as a table, and as what a picture is drawn of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prunebench.records import METRICS, Metric, SensitivityRecord
from prunebench.results.tables import align
from prunebench.statistics import interval_of


@dataclass(frozen=True)
class Grid:
    """The cells of one model: layers in its order, shares ascending, and the record of each pair."""

    layers: tuple[str, ...]
    shares: tuple[float, ...]
    cells: dict[tuple[str, float], SensitivityRecord]

    @property
    def first(self) -> SensitivityRecord:
        """Any of the cells: what it is about is the same in all."""
        return next(iter(self.cells.values()))

    @property
    def metric(self) -> Metric:
        """What is scored."""
        return METRICS[self.first.dense.main.name]

    def score(self, layer: str, share: float) -> float:
        """The main metric of a cell."""
        return self.cells[layer, share].scores[self.metric.name]

    def lost(self, layer: str, share: float) -> float:
        """By how much a cell is worse than the unpruned model; below zero where it is better."""
        worse = self.cells[layer, share].dense[self.metric.name] - self.score(layer, share)
        return worse if self.metric.higher_is_better else -worse


def grid_of(cells: Sequence[SensitivityRecord]) -> Grid:
    """The grid of some cells, none missing."""
    layers, shares = dict.fromkeys(cell.layer for cell in cells), {cell.share for cell in cells}
    return Grid(tuple(layers), tuple(sorted(shares)), {(cell.layer, cell.share): cell for cell in cells})


def table(grid: Grid) -> str:
    """A row per layer: how many units it has, and the score at each share; then what was scored."""
    rows = [["layer", "kind", "units", *(f"−{100 * share:g} %" for share in grid.shares)]]
    for layer in grid.layers:
        cell = grid.cells[layer, grid.shares[0]]
        scores = (f"{grid.score(layer, share):.3f}" for share in grid.shares)
        rows.append([layer, cell.kind, f"{cell.units:,}", *scores])
    return "\n".join([align(rows, left=2), *_below(grid)])


def scored(grid: Grid) -> str:
    """`unpruned 0.989 (95 % interval 0.972–0.996), on 360 samples held out of the training data`."""
    scores = grid.first.dense
    ends = _interval(grid, scores[grid.metric.name])
    between = "" if ends is None else f" (95 % interval {ends[0]:.3f}–{ends[1]:.3f})"
    trained = "of the training data, on which it was trained"
    where = "held out of the training data" if grid.first.part == "validation" else trained
    return f"unpruned {scores[grid.metric.name]:.3f}{between}, on {scores.total:,} samples {where}"


def _below(grid: Grid) -> Iterator[str]:
    first = grid.first
    how = f"{first.method}, {first.criterion}"
    yield f"{grid.metric.title.capitalize()} where one layer alone is pruned ({how}) and nothing is trained."
    yield f"{scored(grid)}.".capitalize()
    found = [_interval(grid, grid.score(*key)) for key in grid.cells]
    widest = max((ends[1] - ends[0] for ends in found if ends is not None), default=None)
    if widest is not None:
        yield f"95 % intervals are {widest:.3f} wide at most (Wilson): what differs by less may be chance."


def _interval(grid: Grid, score: float) -> tuple[float, float] | None:
    return interval_of(grid.metric.name, score, grid.first.dense.total)
