"""Curves: the records of runs as columns, of which comparisons, pictures and reports are made.

What is left is a share of the unpruned model everywhere, 1 for step 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import msgspec

from prunebench.config import to_target
from prunebench.errors import RunError
from prunebench.pruning.registry import methods
from prunebench.records import METRICS, Metric, Name, StepRecord, TimingRecord
from prunebench.results.amounts import AMOUNT, asked
from prunebench.results.matrices import efficiency
from prunebench.results.settings import Settings, settings_of, with_data
from prunebench.runs.index import each
from prunebench.runs.run import Run
from prunebench.runs.snapshot import snapshot
from prunebench.statistics import paired_speedup

AXES = {
    "left": "nominal share left",
    "units": "units left",
    "params": "parameters left",
    "macs": "MACs left",
}
"""What a curve may be drawn over, besides latencies (`latency@1`); each as a share of the unpruned model."""


@dataclass(frozen=True)
class Curve:
    """One run, a value per step in every column.

    Attributes:
        name: the run's key, or the file that it was read from.
        settings: what decides the run, without its seed.
        steps: their numbers; step 0 is the unpruned model.
        metric: what the curve is of.
        before, after: its figure on test data before and after fine-tuning.
        train_before, train_after: the same on training data.
        axes: "left", "units", "params", "macs", "latency@1" … → share of the unpruned model that is left, per step; NaN
            where it was not measured.
        tested: how many test samples are behind a figure, per step; empty where that is not known.
    """

    name: str
    settings: Settings
    seed: int
    steps: tuple[int, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    train_before: tuple[float, ...]
    train_after: tuple[float, ...]
    axes: Mapping[str, tuple[float, ...]]
    tested: tuple[int, ...] = ()
    records: tuple[StepRecord, ...] = ()
    timings: Mapping[str, tuple[TimingRecord, ...]] = field(default_factory=dict)
    metric: Metric = METRICS["top1"]

    @property
    def is_control(self) -> bool:
        """Whether nothing was removed: a dense model that was trained for as many epochs."""
        return _is_control(self.settings)

    @property
    def narrows(self) -> bool:
        """Whether whole units were removed, so that layers became narrower."""
        method = methods.known(self.settings.get("method"))
        return method is not None and method.lowers_macs

    def at(self, step: int) -> int | None:
        """The place of a step in the columns; None where the run has not got it."""
        return self.steps.index(step) if step in self.steps else None

    def up_to(self, step: int) -> Curve:
        """The same without what comes after a step that it has."""
        end = self.steps.index(step) + 1
        if end == len(self.steps):
            return self
        columns = ("steps", "before", "after", "train_before", "train_after", "tested", "records")
        axes = {axis: shares[:end] for axis, shares in self.axes.items()}
        return replace(self, axes=axes, **{name: getattr(self, name)[:end] for name in columns})


Replicates = list[Curve]
"""Runs that differ in their seed alone."""


def curve_of(
    run: Run,
    timings: Mapping[str, Sequence[TimingRecord]] | None = None,
    metric: str | None = None,
    settings: Settings | None = None,
) -> Curve:
    """The curve of a pruning run.

    Args:
        run: a pruning run.
        timings: those of its steps (or of a run of another seed), by backend.
        metric: what the curve is of; else the task's main metric.
        settings: what decides it, as it is told among other runs; else as it is told alone.

    Raises:
        RunError: a record is damaged, or does not hold this metric.
    """
    records = tuple(run.records())
    first = records[0]
    of = metric or first.test_after.main.name
    if of not in first.test_after:
        have = ", ".join(first.test_after.counted)
        raise RunError(f"Run {run.key} has not recorded {of}; it has: {have}.")
    axes: dict[str, tuple[float, ...]] = {
        "left": tuple(r.nominal_left for r in records),
        "units": tuple(units_left(r) for r in records),
        "params": tuple(r.nonzero_params / first.nonzero_params for r in records),
        "macs": tuple(r.macs / first.macs for r in records),
    }
    for backend, timed in (timings or {}).items():
        axes |= _latencies(backend, timed, [r.step for r in records])
    return Curve(
        name=run.key,
        settings=settings_of([run])[0] if settings is None else settings,
        seed=first.seed,
        steps=tuple(r.step for r in records),
        before=tuple(r.test_before[of] for r in records),
        after=tuple(r.test_after[of] for r in records),
        train_before=tuple(r.train_before[of] for r in records),
        train_after=tuple(r.train_after[of] for r in records),
        axes=axes,
        tested=tuple(r.test_after.counted[of].count for r in records),
        metric=METRICS[of],
        records=records,
        timings={backend: tuple(timed) for backend, timed in (timings or {}).items()},
    )


def readable(runs: Sequence[Run], metric: str | None = None) -> list[Run]:
    """Snapshots of the runs of which all can be read that is shown; the others are warned of and passed over.

    Raises:
        RunError: there are runs, and of none all can be read.
    """
    return each(runs, lambda run: _read_whole(snapshot(run), metric), lambda run: run.folder, some=True)


def _read_whole(run: Run, metric: str | None) -> Run:
    """A run, after reading all of it; whatever cannot be read or computed with is raised."""
    for name in SHOWN:
        msgspec.convert(run.manifest.config.get(name), Name | float | None)
    run.environment()
    if run.manifest.kind == "efficiency":
        timings = [run.timing(step) for step in run.steps()]
        for timing in timings:
            efficiency(timing.latencies)
        _latencies(backend_of(timings[0]), timings, [timing.step for timing in timings])
        return run
    records = curve_of(run, metric=metric).records
    if len({tuple(layer.name for layer in record.layers) for record in records}) > 1:
        raise RunError(f"{run.folder} is damaged: its records tell of different layers.")
    return run


def curves_of(runs: Sequence[Run], every: Sequence[Run], metric: str | None = None) -> list[Curve]:
    """The curves of pruning runs, with latencies wherever runs among `every` have timed them.

    A run that was not timed takes the latencies of one that takes as long (`timed_alike`).

    Raises:
        RunError: a record is damaged.
    """
    timed: dict[str, dict[str, list[TimingRecord]]] = {}
    for run in every:
        if run.manifest.kind == "efficiency" and run.manifest.source is not None:
            found = [run.timing(step) for step in run.steps()]
            backends = timed.setdefault(run.manifest.source, {})
            backends[backend_of(found[0])] = _merged(backends.get(backend_of(found[0]), []), found)
    alike = {timed_alike(run): timed[run.key] for run in runs if run.key in timed}
    return [
        curve_of(run, timed.get(run.key) or (alike.get(timed_alike(run), {}) if alike else {}), metric, settings)
        for run, settings in zip(runs, settings_of(runs), strict=True)
    ]


def sparing(curves: Sequence[Curve]) -> list[Curve]:
    """The same curves, whose settings tell of data only where one dataset has several."""
    told = with_data([curve.settings for curve in curves], sparing=True)
    return [replace(curve, settings=settings) for curve, settings in zip(curves, told, strict=True)]


def _merged(newer: Sequence[TimingRecord], older: Sequence[TimingRecord]) -> list[TimingRecord]:
    """Newer timings on a backend, and older ones of steps and batch sizes that these lack, where all else is equal."""
    if newer and _place(newer[0]) != _place(older[0]):
        return list(newer)
    found = {timing.step: timing for timing in newer}
    for timing in older:
        mine = found.setdefault(timing.step, timing)
        sizes = {latency.batch_size for latency in mine.latencies}
        more = tuple(latency for latency in timing.latencies if latency.batch_size not in sizes)
        found[timing.step] = msgspec.structs.replace(mine, latencies=mine.latencies + more)
    return [found[step] for step in sorted(found)]


def _place(timing: TimingRecord) -> tuple[str, int, str]:
    first = timing.latencies[0]
    return first.device, first.threads, first.inputs


def timed_alike(run: Run) -> str:
    """The same text for runs that take as long, since time does not depend on the values of weights.

    Such runs differ in their seed; where as many units are removed whichever they are, also in their criterion. Where
    whole blocks go, or units of several layers compete, it depends on the trained weights which, so that no other run
    takes as long.
    """
    (settings,) = settings_of([run])
    method = methods.known(settings["method"])
    by_scores = method is None or method.widths_from_criterion(settings.get("scope"))
    settings = settings if by_scores else {**settings, "criterion": None}
    files = {"data": run.manifest.contents.get("data"), "model's file": run.manifest.contents.get("model")}
    own = {"run": run.key} if method is not None and method.widths_from_weights(settings.get("scope")) else {}
    return _hashable({**settings, **files, **own})


def backend_of(timing: TimingRecord) -> str:
    """`eager`, `openvino, bf16`: what a step was timed on."""
    first = timing.latencies[0]
    return first.backend if first.dtype == "fp32" else f"{first.backend}, {first.dtype}"


def latency_axis(backend: str, batch_size: int) -> str:
    """`latency@1`, of other backends than eager PyTorch `latency@1 openvino`: a name of an axis."""
    return f"latency@{batch_size}" + ("" if backend == "eager" else f" {backend}")


def axis_title(axis: str) -> str:
    """What an axis shows, in words."""
    if axis in AXES:
        return AXES[axis]
    batch, _, backend = axis.removeprefix("latency@").partition(" ")
    return f"measured latency left, batch {batch}" + (f", {backend}" if backend else "")


def by_settings(curves: Iterable[Curve]) -> list[list[Curve]]:
    """Curves that differ in their seed alone together, by seed."""
    groups: dict[Any, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(_hashable(curve.settings), []).append(curve)
    return [sorted(group, key=lambda curve: curve.seed) for group in groups.values()]


def differing(groups: Sequence[Settings]) -> list[str]:
    """Names of the settings in which groups differ, in the order of the config."""
    names = list(dict.fromkeys(name for settings in groups for name in settings))
    return [name for name in names if len({repr(settings.get(name)) for settings in groups}) > 1]


SHOWN = ("model", "method", "criterion", "fraction")
"""Settings that name a group of runs before any other does; `fraction` is all that says how much goes (`merged`)."""


def merged(settings: Settings, fraction: Callable[[object], str] = str) -> dict[str, object]:
    """Settings that say how much goes as one, in words: `fraction` is `to 90 % sparsity, cubic`, or as it was."""
    rest = {name: value for name, value in settings.items() if name not in AMOUNT}
    return {**rest, "fraction": asked(settings, fraction) if settings.keys() & set(AMOUNT) else None}


def labels(groups: Sequence[Settings]) -> list[str]:
    """A name for each group of runs, made of the settings in which it differs from others; never the same twice.

    `alexnet unstructured l1`; further settings are named only where these do not tell groups apart.
    """
    shown = [_with_amount(settings) for settings in groups]
    names = [name for name in SHOWN if name in differing(shown)] or ["model", "method"]
    found = [_label(settings, names) for settings in shown]
    for name in differing(groups):
        for same in {label for label in found if found.count(label) > 1}:
            alike = [i for i, label in enumerate(found) if label == same]
            if len({repr(groups[i].get(name)) for i in alike}) > 1:
                for i in alike:
                    found[i] += f" {name}={groups[i].get(name)}"
    return found


def _with_amount(settings: Settings) -> Settings:
    """Settings as they are where `fraction` alone says how much goes."""
    alone = not to_target(settings) and settings.get("pattern") is None
    return settings if alone else merged(settings)


def _label(settings: Settings, names: Sequence[str]) -> str:
    if _is_control(settings):
        return " ".join([str(settings.get("model"))] * ("model" in names) + ["dense, same epochs"])
    return " ".join(str(settings.get(name)) for name in names if settings.get(name) is not None)


def _is_control(settings: Settings) -> bool:
    method = methods.known(settings.get("method"))
    return method is not None and not method.removes


def units_left(record: StepRecord) -> float:
    """The share of the original's units that is left; 1 where nothing is counted in units."""
    left, original = (sum(getattr(unit, of) for unit in record.units) for of in ("left", "original"))
    return left / original if original else 1.0


def _latencies(backend: str, timed: Sequence[TimingRecord], steps: Sequence[int]) -> dict[str, tuple[float, ...]]:
    """Per batch size, the pruned model's time over the original's within a round, by step."""
    shares: dict[int, dict[int, float]] = {}
    for timing in timed:
        of = {(latency.variant, latency.batch_size): latency.samples_ms for latency in timing.latencies}
        for variant, size in list(of):
            if variant == "pruned":
                fastest = of.get(("sparse", size), of[variant, size])
                shares.setdefault(size, {0: 1.0})[timing.step] = (
                    1 / paired_speedup(of["original", size], fastest).median
                )
    return {
        latency_axis(backend, size): tuple(share.get(step, float("nan")) for step in steps)
        for size, share in shares.items()
    }


def milliseconds(curves: Iterable[Curve], axis: str) -> dict[str, float]:
    """Median milliseconds behind an axis of latency of unpruned models (`unpruned`), over all their measurements.

    A machine is faster at one time than at another, so that times of different measurements tell nothing; times
    within one do. Those of a pruned model are therefore its share of the unpruned model's, times these.
    """
    found: dict[str, list[float]] = {}
    for curve in curves:
        for backend, timings in curve.timings.items():
            for latency in (latency for timing in timings for latency in timing.latencies):
                if latency_axis(backend, latency.batch_size) == axis and latency.variant == "original":
                    found.setdefault(unpruned(curve), []).append(median(latency.samples_ms))
    return {model: median(medians) for model, medians in found.items()}


SIZED = ("model", "dataset", "data", "model_arg", "image_size", "sequence_length", "memory_format")
"""Settings that decide how long an unpruned model takes."""


def unpruned(curve: Curve) -> str:
    """The same text for curves whose unpruned models take as long where they were timed."""
    places = sorted({_place(timing) for timings in curve.timings.values() for timing in timings})
    return repr([*(curve.settings.get(name) for name in SIZED), *places])


def _hashable(settings: Settings) -> str:
    return repr(sorted(settings.items()))
