"""Layers: what each layer of a model had and has left, a row per layer, or per few where there are many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from prunebench.records import LayerRecord
from prunebench.results.curves import Replicates

MOST_ROWS = 64
"""Layers that are shown one by one; more are put together."""

COLUMNS_FIRST = ("Conv1D", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
"""Kinds of layers whose weights are kept with a column, not a row, per output; of a group, where they have several."""


@dataclass(frozen=True)
class Layer:
    """A layer, or several one after the other: its outputs and weights before, and what is left, means over seeds.

    `layers` says how many layers it stands for; outputs and weights are then sums.
    """

    name: str
    outputs: float
    outputs_left: float
    weights: float
    weights_left: float
    layers: int = 1

    @property
    def share(self) -> float:
        """Of the weights that is left."""
        return self.weights_left / self.weights


def alike(group: Replicates) -> Replicates:
    """The seeds of a group whose layers are called as the first's are: what older versions recorded may differ."""
    names = [[layer.name for layer in curve.records[0].layers] for curve in group]
    return [curve for curve, found in zip(group, names, strict=True) if found == names[0]]


def layers_of(group: Replicates, step: int) -> list[Layer]:
    """The layers of a model after a step, means over the seeds that have it, in the order of the model."""
    records = [curve.records[at] for curve in group if (at := curve.at(step)) is not None]
    return averaged([record.layers for record in records])


def averaged(runs: Sequence[Iterable[LayerRecord]]) -> list[Layer]:
    """The layers of some runs of one model, means over the runs."""
    found = []
    for of in zip(*runs, strict=True):
        found.append(
            Layer(
                name=of[0].name or "the model itself",
                outputs=fmean(_outputs(layer.kind, layer.shape_original) for layer in of),
                outputs_left=fmean(_outputs(layer.kind, layer.shape) for layer in of),
                weights=fmean(layer.weights for layer in of),
                weights_left=fmean(layer.weights_left for layer in of),
            )
        )
    return found


def _outputs(kind: str, shape: Sequence[int]) -> int:
    if not shape:
        return 1
    return 0 if not shape[0] else shape[1] if kind in COLUMNS_FIRST else shape[0]


def together(layers: Sequence[Layer], most: int = MOST_ROWS) -> list[Layer]:
    """The same in at most so many rows: layers one after the other whose names begin alike are put together, by as long
    a beginning as will do; where none will, as many neighbours as must be."""
    if len(layers) <= most:
        return list(layers)
    for parts in range(max(layer.name.count(".") for layer in layers), 0, -1):
        rows = _put_together(layers, [".".join(layer.name.split(".")[:parts]) for layer in layers])
        if len(rows) <= most:
            return rows
    each = -(-len(layers) // most)
    return _put_together(layers, [f"{layers[i // each * each].name} …" for i in range(len(layers))])


def _put_together(layers: Sequence[Layer], names: Sequence[str]) -> list[Layer]:
    """A row for neighbours that are given one name."""
    rows = []
    for name, found in groupby(zip(names, layers, strict=True), lambda pair: pair[0]):
        of = [layer for _, layer in found]
        rows.append(
            Layer(
                name=name if len(of) > 1 else of[0].name,
                outputs=sum(layer.outputs for layer in of),
                outputs_left=sum(layer.outputs_left for layer in of),
                weights=sum(layer.weights for layer in of),
                weights_left=sum(layer.weights_left for layer in of),
                layers=sum(layer.layers for layer in of),
            )
        )
    return rows


def told(rows: Sequence[Layer]) -> str:
    """`74 layers in 14 rows: those whose names begin alike are one`; empty where every layer has a row."""
    layers = sum(row.layers for row in rows)
    if layers == len(rows):
        return ""
    how = "neighbours" if any(row.name.endswith(" …") for row in rows) else "those whose names begin alike"
    return f"{layers} layers in {len(rows)} rows: {how} are summed up"
