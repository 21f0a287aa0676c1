"""Matching: which groups of runs belong side by side, all but what is to be compared being equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from prunebench.comparison.verdicts import pairs
from prunebench.config import OF_RETRAINING, OF_TUNING, deciding, meta, stored_as, to_target
from prunebench.errors import RunError
from prunebench.results.curves import Curve, Replicates, by_settings, curves_of, differing, labels, readable
from prunebench.results.settings import Settings, on_data
from prunebench.runs.selection import Selected

FOLLOWS = {
    "dataset": ("model",),
    "criterion": ("method",),
    "floor": ("method", "scope", "criterion"),
    **dict.fromkeys((*OF_RETRAINING, "finetune_updates"), ("retrain",)),
}
"""Settings that need not be equal where one that they follow from is filtered."""

OF_DATA = ("data", "text_column", "label_column", "header", "encoding")
"""What data is and how its files are read: no two datasets have that in common."""

HOW_TO_PRUNE = [
    *(name for name in deciding("pruning") if name not in ("method", "retrain", *OF_RETRAINING, *OF_TUNING)),
    "iterations",
]
"""Settings that decide nothing where nothing is removed."""


class Match(NamedTuple):
    """Two groups to compare, and what they are called."""

    a: Replicates
    b: Replicates
    names: tuple[str, str]


def matched(a: Selected, b: Selected, metric: str | None = None) -> list[Match]:
    """Groups of A with groups of B that equal them in every setting, but for the seed and what the filters name.

    What follows from a setting that a filter names may differ with it: the criterion with the method; the dataset, and
    what models have values of their own for, with the model; data with the dataset; what is of one way of retraining,
    with that; what says how to prune, with a control. Where neither side is a filter and each is one group, as two keys
    are, these are compared whatever they differ in.

    Raises:
        RunError: nothing matches, or both sides are the same runs; or a record is damaged.
    """
    a, b = (replace(of, runs=tuple(readable(of.runs, metric))) for of in (a, b))
    runs = [*a.runs, *b.runs]
    curves = curves_of(runs, (), metric)
    place = {id(curve): run.folder.resolve() for curve, run in zip(curves, runs, strict=True)}  # keys may be in two
    of_a, of_b = by_settings(curves[: len(a.runs)]), by_settings(curves[len(a.runs) :])
    free = _free({*a.filter, *b.filter})
    alone = not free and len(of_a) == len(of_b) == 1
    found = [(x, y) for x in of_a for y in of_b if alone or not _apart(x, y, free)]
    if not found:
        raise RunError(_nothing(a, b, of_a, of_b, free))
    found = [(x, y) for x, y in found if {place[id(c)] for c in x}.isdisjoint(place[id(c)] for c in y)]
    if not found:
        raise RunError(f"{a.text!r} and {b.text!r} name the same runs; there is nothing to compare.")
    matches = _named(found)
    if any(match.names[0] == match.names[1] for match in matches):  # the same settings in two folders
        return [Match(x, y, (f"{a.text}: {one}", f"{b.text}: {other}")) for x, y, (one, other) in matches]
    return matches


def of_study(curves: Sequence[Curve]) -> list[Match]:
    """What in a study is worth comparing, one model and dataset after the other."""
    by_subject = groupby(pairs(by_settings(curves)), key=lambda pair: subject(pair[0]))
    return [match for _, found in by_subject for match in _named(list(found))]


def subject(group: Replicates) -> str:
    """`resnet18 on digits`: what a group of runs pruned."""
    settings = group[0].settings
    return f"{settings.get('model')} on {on_data(settings)}"


def all_seeds(settings: Settings, others: Sequence[Settings]) -> str:
    """A filter that takes the runs with these settings, of all seeds, and none of `others`: `method=none,epochs=3`."""
    told = [f"{name}={stored_as(settings, name)}" for name in differing([settings, *others])]
    return ",".join(part for part in told if "," not in part) or f"model={settings.get('model')}"


def _named(found: Sequence[tuple[Replicates, Replicates]]) -> list[Match]:
    """Pairs with a name for every group among them, by the settings in which they differ."""
    groups = list({id(group): group for pair in found for group in pair}.values())
    called = dict(zip(map(id, groups), labels([group[0].settings for group in groups]), strict=True))
    return [Match(x, y, (called[id(x)], called[id(y)])) for x, y in found]


def _free(named: set[str]) -> set[str]:
    """Settings in which matches may differ, when filters name some."""
    free = named | {name for name, leaders in FOLLOWS.items() if not named.isdisjoint(leaders)}
    if "data_dir" in named:
        free.add("data")
    if named & {"model", "dataset"}:
        free |= {name for name in deciding("training", "pruning") if (meta(name).extra or {})["fitted"]}
    return free


def _apart(x: Replicates, y: Replicates, free: set[str]) -> list[str]:
    """The settings in which two groups differ and may not."""
    differ = differing([x[0].settings, y[0].settings])
    unused = list(HOW_TO_PRUNE) if x[0].is_control or y[0].is_control else []
    if not all(to_target(group[0].settings) for group in (x, y)):
        unused.append("iterations")  # which decide nothing without a target
    follows = OF_DATA if "dataset" in free and "dataset" in differ else ()
    return [name for name in differ if name not in (*free, *unused, *follows)]


def _nothing(a: Selected, b: Selected, of_a: Sequence[Replicates], of_b: Sequence[Replicates], free: set[str]) -> str:
    """That nothing matches, and in which settings the nearest differ."""
    x, y = min(((x, y) for x in of_a for y in of_b), key=lambda pair: len(_apart(pair[0], pair[1], free)))
    one, other = x[0].settings, y[0].settings
    differ = "; ".join(f"{name}={one.get(name)} against {other.get(name)}" for name in _apart(x, y, free))
    return (
        f"No run of {a.text!r} has one in {b.text!r} that is like it in all else; the nearest differ in {differ}. "
        "Name these in both filters, or two runs by their keys."
    )
