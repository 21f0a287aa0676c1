"""The text matrices: records as numbers that `numpy.loadtxt` reads, headed by `#` lines that name them.

`*_performance.txt`  5 rows × (iterations + 1), `*_num_params.txt`  4 rows × iterations,
`*_efficiency.txt`   4 rows × batch sizes, and beside it a JSON with every sample.

What is left is in percent; accuracies are fractions of 1.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import msgspec

from prunebench.config import deciding
from prunebench.pruning.registry import methods
from prunebench.records import FORMAT, LatencyRecord, StepRecord, TimingRecord
from prunebench.results.old_names import with_old_names
from prunebench.runs.files import write_atomically, writing
from prunebench.runs.index import title, weights_without_seed
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run

log = logging.getLogger(__name__)

PERFORMANCE = (
    "percent of the model left, 100 (1 - fraction)^step",
    "test accuracy before fine-tuning",
    "train accuracy before fine-tuning",
    "test accuracy after fine-tuning",
    "train accuracy after fine-tuning",
)
NUM_PARAMS = (
    "percent of the model left, 100 (1 - fraction)^step",
    "prunable weights of the original",
    "prunable weights that masking filters would leave (kept filters x original inputs)",
    "prunable weights of the physically pruned model",
)
EFFICIENCY = (
    "batch size",
    "median milliseconds of the original",
    "median milliseconds of the masked model (no speed-up expected; torch.nn.utils.prune)",
    "median milliseconds of the physically pruned model (unstructured: masks folded into the weights)",
)
TIMED = ("original", "masked", "pruned")


def performance(records: Sequence[StepRecord]) -> list[list[float]]:
    """5 rows, a column per step from 0."""
    main = records[0].test_after.main.name
    return [
        [100 * r.nominal_left for r in records],
        [r.test_before[main] for r in records],
        [r.train_before[main] for r in records],
        [r.test_after[main] for r in records],
        [r.train_after[main] for r in records],
    ]


def num_params(records: Sequence[StepRecord]) -> list[list[float]]:
    """4 rows, a column per step from 1."""
    pruned = [record for record in records if record.step > 0]
    return [
        [100 * r.nominal_left for r in pruned],
        [r.prunable_weights for r in pruned],
        [r.prunable_weights_masked for r in pruned],
        [r.prunable_weights_left for r in pruned],
    ]


def efficiency(records: Sequence[LatencyRecord]) -> list[list[float]]:
    """4 rows, a column per batch size; `records` are those of one step."""
    sizes = sorted({record.batch_size for record in records})
    times = {(record.variant, record.batch_size): median(record.samples_ms) for record in records}
    return [list(map(float, sizes))] + [[times[variant, size] for size in sizes] for variant in TIMED]


def text(rows: Sequence[Sequence[float]], names: Sequence[str], about: Mapping[str, object], columns: str) -> str:
    """A matrix as text: `#` lines with what it is about, its columns and its rows; then the numbers."""
    head = [" ".join(f"# {key}: {value}".splitlines()) for key, value in about.items()]
    head += [f"# columns: {columns}"]
    head += [f"# row {number}: {name}" for number, name in enumerate(names, 1)]
    return "\n".join(head + [" ".join(f"{value:.10g}" for value in row) for row in rows]) + "\n"


def write_steps(run: Run, records: Sequence[StepRecord], results_dir: str | Path | None) -> list[Path]:
    """Write the matrices of a pruning run into its own folder, and into `results_dir` if there is one.

    Returns the latter's paths, else the former's.
    """
    manifest = run.manifest
    about = describe(manifest.key, manifest.config)
    columns = f"steps {records[0].step} to {records[-1].step}"
    paths = [
        _write(
            run.folder,
            results_dir,
            f"{stem(manifest)}_performance.txt",
            text(performance(records), PERFORMANCE, about, columns),
        )
    ]
    if methods.get(manifest.config["method"]).lowers_macs and records[-1].step > 0:
        pruned = f"steps 1 to {records[-1].step}"
        paths.append(
            _write(
                run.folder,
                results_dir,
                f"{stem(manifest)}_num_params.txt",
                text(num_params(records), NUM_PARAMS, about, pruned),
            )
        )
    return paths


def write_timings(
    timed: Run, about: Manifest, folder: Path | None, timings: Sequence[TimingRecord], results_dir: str | Path | None
) -> list[Path]:
    """Write what was timed: a matrix per step, and all records with the environment as one JSON.

    Args:
        timed: the efficiency run.
        about: the run whose models were timed, or that would hold them.
        folder: of that run; None where untrained weights were timed.
        timings: the records of its steps.
        results_dir: where to write, besides `folder`; None: nowhere else.
    """
    settings = timed.manifest.config
    name = "_".join([stem(about), *_backend(settings)])
    document = {
        "format": FORMAT,
        "run": timed.key,
        "of": about.key if folder else None,
        "settings": settings,
        "environment": timed.environment(),
        "timings": [with_old_names(timing) for timing in timings],
    }
    content = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    paths = [_write(folder, results_dir, f"{name}_efficiency.json", content)]
    return [_write_matrix(about, folder, timing, settings, results_dir) for timing in timings] + paths


def _write_matrix(
    manifest: Manifest,
    folder: Path | None,
    timing: TimingRecord,
    settings: Mapping[str, object],
    results_dir: str | Path | None,
) -> Path:
    """Write the matrix of a timed step."""
    first = timing.latencies[0]
    rounds = {r.batch_size: len(r.samples_ms) for r in timing.latencies}
    about = describe(manifest.key if folder else "none: untrained weights", manifest.config) | {
        "measured on": f"{first.device}, {first.threads} threads, {first.backend}, {first.dtype}, {first.inputs}",
        "rounds": ", ".join(f"{count} at batch {size}" for size, count in sorted(rounds.items())),
        "step": timing.step,
    }
    name = "_".join([stem(manifest), percent(first.nominal_left), *_backend(settings), "efficiency.txt"])
    return _write(folder, results_dir, name, text(efficiency(timing.latencies), EFFICIENCY, about, "batch sizes"))


def _backend(settings: Mapping[str, object]) -> list[str]:
    """What files are named after besides the model: the backend unless it is eager, the dtype unless it is fp32."""
    return [str(settings[name]) for name, usual in (("backend", "eager"), ("dtype", "fp32")) if settings[name] != usual]


def stem(manifest: Manifest) -> str:
    """`alexnet_unstructured`, and `alexnet_unstructured_random` where the criterion is not the method's default."""
    method, criterion = str(manifest.config["method"]), manifest.config["criterion"]
    parts = [title(manifest.config["model"]), method]
    if criterion != methods.get(method).criterion:
        parts.append(title(criterion))
    return "_".join(parts)


def percent(share: float) -> str:
    """`53.14`; below a tenth of a percent, where two decimals would not tell steps apart, `0.0123`."""
    return f"{100 * share:.2f}" if share >= 1e-3 else f"{100 * share:.3g}"


def describe(key: str, config: Mapping[str, object]) -> dict[str, object]:
    """What a matrix is about: the run's key, the dataset, and every setting that decides the result."""
    known = {name: config.get(name) for name in deciding("training", "pruning")}
    known["weights"] = weights_without_seed(config)
    settings = [f"{name}={value}" for name, value in known.items() if value not in (None, [])]
    return {"run": key, "dataset": config["dataset"], "settings": " ".join(settings)}


def _write(folder: Path | None, results_dir: str | Path | None, name: str, content: str) -> Path:
    places = [Path(place) / name for place in (folder, results_dir) if place is not None]
    if results_dir is not None and places[-1].exists():
        mine, other = content.splitlines()[0], places[-1].read_text(encoding="utf-8").partition("\n")[0]
        if mine != other:
            log.info("replacing %s, which showed %s", places[-1], other.removeprefix("# run: "))
    for path in places:
        with writing(path.name, path.parent):
            write_atomically(path, content.encode())
    return places[-1]
