"""Matrix files: folders of text matrices read back, those of older programs included, as curves, counts and times.

Files of one folder belong together where they name the same run, or else nothing that tells them apart.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from pathlib import Path

from prunebench.config import LATER, OF_UNITS, to_target
from prunebench.errors import DataError
from prunebench.pruning.registry import methods
from prunebench.records import LatencyRecord, TimingRecord
from prunebench.results.amounts import AMOUNT, percent_left
from prunebench.results.curves import Curve, latency_axis
from prunebench.results.matrices import TIMED
from prunebench.results.matrix_text import LISTS, MatrixFile, read_matrix
from prunebench.results.settings import FILES, Settings, told_apart

log = logging.getLogger(__name__)

SHAPE = (
    *("model", "dataset", "data", "method", *AMOUNT, "iterations", "model_arg", "image_size", "sequence_length"),
    *("scope", "targets", "include", "exclude", "round_to", *OF_UNITS),
)
"""Settings that decide how many weights are left and how long a model takes."""


@dataclass(frozen=True)
class Counts:
    """Prunable weights of a run by step, the unpruned model first; `left` is nominal, 1 at first.

    `masked` counts what masking filters would leave, `actual` what the pruned model has.
    """

    settings: Settings
    left: tuple[float, ...]
    masked: tuple[float, ...]
    actual: tuple[float, ...]


@dataclass(frozen=True)
class Times:
    """One pruned step on one backend: milliseconds of each variant, by batch size; `left` is the nominal share left."""

    settings: Settings
    left: float
    backend: str
    batch_sizes: tuple[int, ...]
    ms: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Results:
    """What text matrices hold, or runs. The axis "params" of a curve without records is of prunable weights alone."""

    curves: tuple[Curve, ...] = ()
    counts: tuple[Counts, ...] = ()
    times: tuple[Times, ...] = ()


def read(paths: Iterable[str | Path]) -> Results:
    """The matrices of files and folders; what in a folder is no matrix is warned of and passed over.

    Raises:
        DataError: a file that is named is not there, or is no matrix.
    """
    found: dict[Path, MatrixFile] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            found.setdefault(path.resolve(), read_matrix(path))
            continue
        for inside in sorted(path.glob("*.txt")):
            try:
                found.setdefault(inside.resolve(), read_matrix(inside))
            except DataError as error:
                log.warning("%s It is passed over.", error)
    files = _told_apart(list(found.values()))
    return Results(
        curves=tuple(_curve(file, files) for file in files if file.kind == "performance"),
        counts=tuple(_counts(file) for file in files if file.kind == "num_params"),
        times=tuple(_times(file) for file in files if file.kind == "efficiency"),
    )


def _told_apart(files: Sequence[MatrixFile]) -> list[MatrixFile]:
    """The same files, their models, datasets and criteria told apart where two of them have one name."""
    names = {name: told_apart([file.file_of(name) for file in files]) for name in FILES}
    return [
        replace(
            file,
            settings={
                **file.settings,
                **{name: of[i] for name, of in names.items() if of[i] is not None},
                **{name: data for name, data in file.files.items() if name == "data"},
            },
        )
        for i, file in enumerate(files)
    ]


def _curve(file: MatrixFile, files: Sequence[MatrixFile]) -> Curve:
    left = tuple(float(share) for share in file.rows[0] / 100)
    settings = file.without_seed
    if "fraction" not in settings and not to_target(settings) and left[1:] and left[1] < left[0]:
        settings["fraction"] = float(f"{1 - left[1] / left[0]:.4g}")
    first = re.match(r"steps (\d+) to", file.head.get("columns", ""))
    start = int(first[1]) if first else 0
    steps = tuple(range(start, start + len(left)))
    named = partial(percent_left, settings)
    timings = _timings(file, files, dict(zip(map(named, left), steps, strict=False)))
    axes = {"left": left}
    if counted := _belonging(file, files, "num_params"):
        actual = {named(share / 100): now / was for share, was, now in counted[0].rows[[0, 1, 3]].T.tolist()}
        axes["params"] = tuple(1.0 if share == 1 else actual.get(named(share), nan) for share in left)
    for backend, of in timings.items():
        axes |= _latencies(backend, of, steps)
    before, train_before, after, train_after = (tuple(row) for row in file.rows[1:].tolist())
    return Curve(
        name=file.run or str(file.path),
        settings=settings,
        seed=file.settings.get("seed", 0),
        steps=steps,
        before=before,
        after=after,
        train_before=train_before,
        train_after=train_after,
        axes=axes,
        timings=timings,
    )


def _timings(
    file: MatrixFile, files: Sequence[MatrixFile], step_of: Mapping[str, int]
) -> dict[str, tuple[TimingRecord, ...]]:
    """Records of the efficiency files that belong to a run, by backend, in the order of steps."""
    found: dict[str, dict[int, TimingRecord]] = {}
    for timed in _belonging(file, files, "efficiency"):
        if step := step_of.get(percent_left(file.settings, timed.left)):
            found.setdefault(timed.backend, {}).setdefault(step, _timing(timed, step))
    return {backend: tuple(of[step] for step in sorted(of)) for backend, of in found.items()}


def _belonging(file: MatrixFile, files: Sequence[MatrixFile], kind: str) -> list[MatrixFile]:
    """The files of a kind that belong to a file of a run, those that name this very run first."""
    method, scope = methods.get(file.settings["method"]), file.settings.get("scope")
    by_scores, own = method.widths_from_criterion(scope), method.narrows and method.widths_from_weights(scope)
    names = (*SHAPE, "criterion") if by_scores else SHAPE
    found = [
        other
        for other in files
        if other.kind == kind
        and other.path.parent == file.path.parent
        and all(_agree(_told(file, name), _told(other, name)) for name in names)
        and not (own and other.run != file.run)
    ]
    return sorted(found, key=lambda other: other.run != file.run)


def _told(file: MatrixFile, name: str) -> object:
    """A setting of a file; None where it is not told. A file that tells settings leaves out empty and later ones."""
    if name in file.settings or "settings" not in file.head:
        return file.settings.get(name)
    return [] if name in LISTS else "as ever" if name in (*LATER, "fraction", "iterations") else None


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _timing(file: MatrixFile, step: int) -> TimingRecord:
    """The times of a file as a record whose only samples are the medians."""
    device, threads = _machine(file.head.get("measured on", ""))
    backend, _, dtype = file.backend.partition(", ")
    latencies = tuple(
        LatencyRecord(
            run=file.run,
            model=str(file.settings["model"]),
            method=str(file.settings["method"]),
            step=step,
            nominal_left=file.left,
            variant=variant,
            batch_size=int(size),
            device=device,
            dtype=dtype or "fp32",
            threads=threads,
            samples_ms=(float(ms),),
            backend=backend,
        )
        for variant, row in zip(TIMED, file.rows[1:], strict=True)
        for size, ms in zip(file.rows[0], row, strict=True)
    )
    return TimingRecord(step=step, latencies=latencies)


def _machine(measured_on: str) -> tuple[str, int]:
    """`cpu, 2 threads, …` → device and threads; empty and 0 where a file does not tell."""
    told = re.match(r"(\S+), (\d+) threads", measured_on)
    return (told[1], int(told[2])) if told else ("", 0)


def _latencies(backend: str, timings: Sequence[TimingRecord], steps: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """Per batch size, the pruned model's time over the original's, by step."""
    shares: dict[int, dict[int, float]] = {}
    for timing in timings:
        ms = {(latency.variant, latency.batch_size): latency.samples_ms[0] for latency in timing.latencies}
        for size in sorted({latency.batch_size for latency in timing.latencies}):
            shares.setdefault(size, {0: 1.0})[timing.step] = ms["pruned", size] / ms["original", size]
    return {
        latency_axis(backend, size): tuple(share.get(step, nan) for step in steps) for size, share in shares.items()
    }


def _counts(file: MatrixFile) -> Counts:
    left, original, masked, actual = file.rows.tolist()
    return Counts(
        settings=file.without_seed,
        left=(1.0, *(share / 100 for share in left)),
        masked=(original[0], *masked),
        actual=(original[0], *actual),
    )


def _times(file: MatrixFile) -> Times:
    return Times(
        settings=file.without_seed,
        left=file.left,
        backend=file.backend,
        batch_sizes=tuple(int(size) for size in file.rows[0]),
        ms={name: tuple(row) for name, row in zip(TIMED, file.rows[1:].tolist(), strict=True)},
    )
