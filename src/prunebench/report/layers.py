"""Layers: what is left of each layer after the last step of every group, beside what the model had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from prunebench.results.curves import Curve
from prunebench.results.layers import Layer, alike, layers_of, together, told


class Whole(msgspec.Struct, frozen=True):
    """An unpruned model, a value per row; `told` says how layers are put together in rows, where they are."""

    names: tuple[str, ...]
    layers: tuple[int, ...]
    outputs: tuple[float, ...]
    weights: tuple[float, ...]
    told: str


class Left(msgspec.Struct, frozen=True):
    """What a step left, means over so many seeds; `model` and `group` are places in the lists of these."""

    group: int
    model: int
    step: int
    seeds: int
    shown: Literal["outputs", "weights"]
    outputs: tuple[float, ...]
    weights: tuple[float, ...]


class Layers(NamedTuple):
    """Models, each once, and what groups have left of them."""

    models: tuple[Whole, ...]
    left: tuple[Left, ...]


def layers(groups: Sequence[Sequence[Curve]]) -> Layers:
    """The layers of groups; of controls, of which nothing was removed, there is nothing to show."""
    models: dict[Whole, int] = {}
    found = []
    for place, group in enumerate(groups):
        if group[0].records[0].layers and not group[0].is_control:
            seeds = alike(list(group))
            step = max(curve.steps[-1] for curve in seeds)
            rows = together(layers_of(seeds, step))
            model = models.setdefault(_whole(rows), len(models))
            found.append(
                Left(
                    group=place,
                    model=model,
                    step=step,
                    seeds=sum(curve.at(step) is not None for curve in seeds),
                    shown="outputs" if group[0].narrows else "weights",
                    outputs=_numbers(row.outputs_left for row in rows),
                    weights=_numbers(row.weights_left for row in rows),
                )
            )
    return Layers(tuple(models), tuple(found))


def _whole(rows: Sequence[Layer]) -> Whole:
    return Whole(
        names=tuple(row.name for row in rows),
        layers=tuple(row.layers for row in rows),
        outputs=_numbers(row.outputs for row in rows),
        weights=_numbers(row.weights for row in rows),
        told=told(rows),
    )


def _numbers(values: Iterable[float]) -> tuple[float, ...]:
    """In few bytes: whole where they are, else with a digit."""
    return tuple(round(value) if value == round(value) else round(value, 1) for value in values)
