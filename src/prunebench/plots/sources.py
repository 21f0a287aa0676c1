"""Results: what paths hold that can be drawn, read from text matrices and from runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from prunebench.config import to_target
from prunebench.errors import DataError, RunError
from prunebench.results.amounts import percent_left
from prunebench.results.curves import Curve, backend_of, curves_of, readable
from prunebench.results.matrices import TIMED, efficiency, num_params
from prunebench.results.matrix_files import Counts, Results, Times, read
from prunebench.results.settings import Settings, settings_of, with_data
from prunebench.runs.index import all_runs, find, is_run_folder
from prunebench.runs.run import Run

log = logging.getLogger(__name__)

Item = TypeVar("Item")


def gather(paths: Iterable[str | Path], metric: str | None = None) -> Results:
    """The results of matrices, folders of matrices, runs and folders of runs.

    Curves are of the main metric, or of the one that is named, which matrices do not hold. Of curves with the same
    settings and seed the first is taken; among runs that is the newest.

    Raises:
        DataError: a path is not there, or holds nothing that can be drawn.
        RunError: a run is damaged, or there is nothing of it to draw.
    """
    matrices: list[Path] = []
    parts: list[Results] = []
    for path in map(Path, paths):
        if is_run_folder(path):
            parts.append(_of_run(path, metric))
            continue
        if runs := all_runs(path):
            parts.append(_of_runs(runs, runs, metric))
        if not path.is_dir() or any(path.glob("*.txt")):
            matrices.append(path)
        elif not runs:
            raise DataError(f"{path} holds no text matrices and no runs with a finished step.{_inside(path)}")
    found = read(matrices)
    parts.append(replace(found, curves=tuple(of for of in found.curves if metric in (None, of.metric.name))))
    parts = _sparing(parts)
    return Results(
        curves=_distinct([curve for part in parts for curve in part.curves]),
        counts=_first([of for part in parts for of in part.counts], lambda of: _text(of.settings)),
        times=_first(
            [of for part in parts for of in part.times],
            lambda of: f"{_text(of.settings)} {_left(of)} {of.backend} {of.batch_sizes}",
        ),
    )


def _left(of: Times) -> str:
    """The share left, alike whether it comes of a matrix, by whose name it is told, or of a run."""
    return percent_left(of.settings, of.left) if to_target(of.settings) else f"{of.left:.4g}"


def _sparing(parts: Sequence[Results]) -> list[Results]:
    """The same, whose settings tell of data only where one dataset has several."""
    every: list[Settings] = []
    for each in parts:
        items: list[Curve | Counts | Times] = [*each.curves, *each.counts, *each.times]
        every += [of.settings for of in items]
    told = iter(with_data(every, sparing=True))
    return [
        Results(
            curves=tuple(replace(of, settings=next(told)) for of in part.curves),
            counts=tuple(replace(of, settings=next(told)) for of in part.counts),
            times=tuple(replace(of, settings=next(told)) for of in part.times),
        )
        for part in parts
    ]


def _inside(path: Path) -> str:
    """Folders in a folder that hold what it does not."""
    found = [place.as_posix() for place in sorted(path.glob("[!.]*")) if any(place.glob("*.txt")) or all_runs(place)]
    return f" Name one of: {', '.join(found)}." if found else " `prunebench prune` makes both."


def _of_run(path: Path, metric: str | None) -> Results:
    """The results of one run, with the timings among its neighbours."""
    run = find(path.parent, str(path))
    timed = [other for other in all_runs(path.resolve().parent) if other.manifest.source == run.key]
    if run.manifest.kind == "train" or (run.manifest.kind == "prune" and run.steps()[-1] == 0):
        raise RunError(f"Run {run.key} has pruned nothing; there is nothing of it to draw.")
    return _of_runs([run], [run, *timed], metric)


def _of_runs(runs: Sequence[Run], every: Sequence[Run], metric: str | None) -> Results:
    """The results of runs, with the timings of them among `every`."""
    same = runs is every
    runs = readable(runs, metric)
    every = runs if same else readable(every, metric)
    pruned = [run for run in runs if run.manifest.kind == "prune" and run.steps()[-1] > 0]
    curves = [replace(curve, settings=_given(curve.settings)) for curve in curves_of(pruned, every, metric)]
    settings = {curve.name: curve.settings for curve in curves}
    return Results(
        curves=tuple(curves),
        counts=tuple(_counts(curve) for curve in curves if curve.narrows),
        times=tuple(
            times
            for run in every
            if run.manifest.kind == "efficiency"
            for times in _times(run, settings.get(str(run.manifest.source), _given(settings_of([run])[0])))
        ),
    )


def _counts(curve: Curve) -> Counts:
    first = curve.records[0].prunable_weights
    left, _, masked, actual = num_params(curve.records)
    return Counts(curve.settings, (1.0, *(share / 100 for share in left)), (first, *masked), (first, *actual))


def _times(run: Run, settings: Settings) -> list[Times]:
    found = []
    for timing in map(run.timing, run.steps()):
        sizes, *rows = efficiency(timing.latencies)
        ms = {name: tuple(row) for name, row in zip(TIMED, rows, strict=True)}
        left = timing.latencies[0].nominal_left
        found.append(Times(settings, left, backend_of(timing), tuple(map(int, sizes)), ms))
    return found


def _distinct(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The first of curves of one run, and of curves of the same settings and seed."""
    found: dict[str, Curve] = {}
    for curve in _first(curves, lambda curve: curve.name):
        taken = found.setdefault(f"{_text(curve.settings)} {curve.seed}", curve)
        if taken is not curve:
            log.warning("%s is passed over: %s has the same settings and seed.", curve.name, taken.name)
    return tuple(found.values())


def _first(items: Iterable[Item], key: Callable[[Item], str]) -> tuple[Item, ...]:
    found: dict[str, Item] = {}
    for item in items:
        found.setdefault(key(item), item)
    return tuple(found.values())


def _given(settings: Settings) -> Settings:
    """The settings that have a value, as text matrices name them."""
    return {name: value for name, value in settings.items() if value not in (None, [])}


def _text(settings: Settings) -> str:
    return repr(sorted(settings.items()))
