"""Rows: what data frames of runs hold, a row per step, or per timed step, variant and batch size.

The names of the columns are those of the fields of records, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from statistics import median
from typing import Any

from prunebench.records import METRICS, StepRecord
from prunebench.results.curves import units_left
from prunebench.results.settings import settings_of
from prunebench.runs.run import Run
from prunebench.statistics import interval_of, paired_speedup

Row = dict[str, Any]

TEXT = "str"
WHOLE, NUMBER = "int64", "float64"

STEPS: Mapping[str, str] = {
    **dict.fromkeys(("run", "kind", "model", "dataset", "method", "criterion"), TEXT),
    **dict.fromkeys(("seed", "step"), WHOLE),
    **dict.fromkeys(("fraction", "nominal_left", "units_left", "params_left", "macs_left"), NUMBER),
    **dict.fromkeys(("params", "nonzero_params", "macs"), WHOLE),
    "effective_macs": NUMBER,
    "metric": TEXT,
    **dict.fromkeys(("test_before", "test_after", "low", "high", "train_before", "train_after", "validation"), NUMBER),
    "test_samples": WHOLE,
    **{f"test_{metric}": NUMBER for metric in METRICS},
    **dict.fromkeys(("loss", "samples_seen", "seconds"), NUMBER),
}
"""Columns of a frame of steps → their types."""

LATENCIES: Mapping[str, str] = {
    **dict.fromkeys(("run", "source", "model", "method"), TEXT),
    "step": WHOLE,
    "nominal_left": NUMBER,
    **dict.fromkeys(("device", "backend", "dtype"), TEXT),
    "threads": WHOLE,
    "batch_size": WHOLE,
    "variant": TEXT,
    "rounds": WHOLE,
    **dict.fromkeys(("median_ms", "speedup", "speedup_low", "speedup_high"), NUMBER),
}
"""Columns of a frame of timings → their types."""


def rows_of(run: Run) -> list[Row]:
    """A row per finished step of a run of training or pruning.

    Raises:
        RunError: a record is damaged.
    """
    settings, records = settings_of([run])[0], run.records()
    about: Row = {"run": run.key, "kind": run.manifest.kind}
    about |= {name: str(settings.get(name)) for name in ("model", "dataset", "method", "criterion")}
    if run.manifest.kind == "train":
        about |= {"method": nan, "criterion": nan}
    return [about | _row(record, records[0]) for record in records]


def _row(record: StepRecord, first: StepRecord) -> Row:
    main = record.test_after.main.name
    low, high = interval_of(main, record.test_after[main], record.test_after.total) or (nan, nan)
    return {
        **{name: getattr(record, name) for name in ("seed", "step", "fraction", "nominal_left")},
        "units_left": units_left(record),
        "params_left": record.nonzero_params / first.nonzero_params,
        "macs_left": record.macs / first.macs if first.macs else nan,
        **{name: getattr(record, name) for name in ("params", "nonzero_params", "macs")},
        **{name: _or_nan(getattr(record, name)) for name in ("effective_macs", "loss", "samples_seen")},
        "metric": main,
        **{name: getattr(record, name)[main] for name in ("test_before", "test_after", "train_before", "train_after")},
        "validation": record.validation[main] if record.validation else nan,
        "low": low,
        "high": high,
        "test_samples": record.test_after.total,
        **{f"test_{name}": nan for name in METRICS},
        **{f"test_{name}": record.test_after[name] for name in record.test_after.counted if name in METRICS},
        "seconds": sum(getattr(record.seconds, name) for name in record.seconds.__struct_fields__),
    }


def latencies_of(run: Run) -> list[Row]:
    """A row per variant and batch size of each step of a run of timings.

    Raises:
        RunError: a record is damaged.
    """
    return [row for step in run.steps() for row in _timed(run, step)]


def _timed(run: Run, step: int) -> Iterator[Row]:
    latencies = run.timing(step).latencies
    originals = {each.batch_size: each.samples_ms for each in latencies if each.variant == "original"}
    (settings,) = settings_of([run])
    for each in latencies:
        original = originals.get(each.batch_size)
        rounds = len(each.samples_ms)
        speedup = paired_speedup(original[:rounds], each.samples_ms) if original else (nan, nan, nan)
        yield {
            **{"run": run.key, "source": run.manifest.source or nan, "model": str(settings.get("model"))},
            **{name: getattr(each, name) for name in LATENCIES if hasattr(each, name) and name not in ("run", "model")},
            "rounds": rounds,
            "median_ms": median(each.samples_ms),
            **dict(zip(("speedup", "speedup_low", "speedup_high"), tuple(speedup)[:3], strict=True)),
        }


def frame(rows: Sequence[Row], columns: Mapping[str, str], extra: Sequence[str] = ()) -> Any:
    """Rows as a pandas.DataFrame of these columns, with `extra` ones last; what is missing is NaN."""
    import pandas

    found = pandas.DataFrame(list(rows), columns=[*columns, *extra])
    return found.astype({name: kind for name, kind in columns.items() if kind != TEXT})


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
