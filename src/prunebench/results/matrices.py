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
from types import MappingProxyType
from typing import Literal

import msgspec

from prunebench.config import to_target
from prunebench.pruning.registry import methods
from prunebench.reading import RECORD, read_text
from prunebench.records import FORMAT, LatencyRecord, StepRecord, TimingRecord
from prunebench.registry import without_folder
from prunebench.results.amounts import in_file_names, percent_left
from prunebench.results.old_names import with_old_names
from prunebench.results.settings import called, files_in, in_words, settings_in
from prunebench.runs.files import holds, own, write_atomically, writing
from prunebench.runs.manifest import Manifest
from prunebench.runs.run import Run

log = logging.getLogger(__name__)

LEFT = "percent of the model left, 100 (1 - fraction)^step"
LEFT_TO_TARGET = "percent of the model left, as the target asks for it"
PERFORMANCE = (
    LEFT,
    "test accuracy before fine-tuning",
    "train accuracy before fine-tuning",
    "test accuracy after fine-tuning",
    "train accuracy after fine-tuning",
)
NUM_PARAMS = (
    LEFT,
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
    about = describe(manifest.key, manifest.config, manifest.contents)
    places = _places(manifest, run.folder, results_dir)
    columns = f"steps {records[0].step} to {records[-1].step}"
    paths = [
        _write(places, "_performance.txt", text(performance(records), _rows(PERFORMANCE, manifest), about, columns))
    ]
    if methods.get(manifest.config["method"]).lowers_macs and records[-1].step > 0:
        pruned = f"steps 1 to {records[-1].step}"
        paths.append(
            _write(places, "_num_params.txt", text(num_params(records), _rows(NUM_PARAMS, manifest), about, pruned))
        )
    return paths


def _rows(names: Sequence[str], manifest: Manifest) -> list[str]:
    """What the rows of a run's matrix are."""
    return [LEFT_TO_TARGET if name == LEFT and to_target(manifest.config) else name for name in names]


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
    document = {
        "format": FORMAT,
        "run": timed.key,
        "of": about.key if folder else None,
        "settings": settings,
        "environment": timed.environment(),
        "timings": [with_old_names(timing) for timing in timings],
    }
    content = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    places = _places(about, folder, results_dir)
    paths = [_write(places, "".join([*_backend(settings), "_efficiency.json"]), content)]
    head = describe(about.key if folder else "none: untrained weights", about.config, about.contents)
    return [_write_matrix(places, head, timing, settings) for timing in timings] + paths


def _write_matrix(
    places: Sequence[Path], head: Mapping[str, object], timing: TimingRecord, settings: Mapping[str, object]
) -> Path:
    """Write the matrix of a timed step."""
    first = timing.latencies[0]
    rounds = {r.batch_size: len(r.samples_ms) for r in timing.latencies if r.variant == "pruned"}
    about = {
        **head,
        "measured on": f"{first.device}, {first.threads} threads, {first.backend}, {first.dtype}, {first.inputs}",
        "rounds": ", ".join(f"{count} at batch {size}" for size, count in sorted(rounds.items())),
        "step": timing.step,
    }
    ending = "".join([f"_{percent_left(settings, first.nominal_left)}", *_backend(settings), "_efficiency.txt"])
    return _write(places, ending, text(efficiency(timing.latencies), EFFICIENCY, about, "batch sizes"))


def _backend(settings: Mapping[str, object]) -> list[str]:
    """What files are named after besides the model: the backend unless it is eager, the dtype unless it is fp32."""
    usual = (("backend", "eager"), ("dtype", "fp32"))
    return [f"_{settings[name]}" for name, of in usual if settings[name] != of]


def stem(manifest: Manifest, results_dir: str | Path | None = None) -> str:
    """`alexnet_unstructured`, and `alexnet_unstructured_random` where the criterion is not the method's default; with
    what was asked where that is no fraction alone: `alexnet_unstructured_sparsity-0.9-cubic-in-10`.

    Of a file of the user's its name is told and, where `results_dir` holds results of another one of this name, as many
    of its folders as it takes.
    """
    method = str(manifest.config["method"])
    parts = [_called(manifest, "model", results_dir), method]
    if manifest.config["criterion"] != methods.get(method).criterion:
        parts.append(_called(manifest, "criterion", results_dir))
    return "_".join([*parts, *filter(None, [in_file_names(manifest.config)])])


def _called(manifest: Manifest, name: Literal["model", "criterion"], results_dir: str | Path | None) -> str:
    """What files call the model or the criterion of a run."""
    reference = str(manifest.config[name])
    place, _, function = reference.rpartition(":")
    if results_dir is None or not place.endswith(".py"):
        return called(reference)
    parts = Path(place).parts
    pattern = {"model": "{}_*.txt", "criterion": "*_{}_*.txt"}[name]
    for count in range(1, len(parts)):
        short = called(f"{'/'.join(parts[-count:])}:{function}")
        there = [path for path in Path(results_dir).glob(pattern.format(short)) if path.is_file()]
        if not any(_of_another(path, manifest, name) for path in there):
            return short
    return called(reference)


def _of_another(path: Path, manifest: Manifest, name: str) -> bool:
    """Whether a matrix is about another file of the user's that has the same name as this run's."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = dict(line[2:].rstrip("\n").split(": ", 1) for line in file if line.startswith("# ") and ": " in line)
    mine, theirs = manifest.config[name], settings_in(head.get("settings", "")).get(name)
    digest = files_in(head.get("files", "")).get(name)
    return (
        digest is not None
        and theirs != mine
        and without_folder(theirs) == without_folder(mine)
        and not manifest.contents.get(name, "").startswith(digest)
    )


def describe(
    key: str, config: Mapping[str, object], contents: Mapping[str, str] = MappingProxyType({})
) -> dict[str, object]:
    """What a matrix is about: the run's key, the dataset, and every setting and file that decides the result."""
    return {"run": key, "dataset": config["dataset"], **in_words(config, contents)}


def _places(manifest: Manifest, folder: Path | None, results_dir: str | Path | None) -> list[Path]:
    """Where results are written, up to the ending of their files: in a run's folder, and in that of results."""
    places = [] if folder is None else [own(folder.parent, folder.name) / stem(manifest)]
    return places if results_dir is None else [*places, Path(results_dir) / stem(manifest, results_dir)]


def _write(places: Sequence[Path], ending: str, content: str) -> Path:
    """Write a file at every place; of the last one, that of results, it is told where another run's is replaced."""
    paths = [place.with_name(place.name + ending) for place in places]
    mine, other = content.splitlines()[0], _first_line(paths[-1])
    if other not in ("", mine):
        log.info("replacing %s, which showed %s", paths[-1], other.removeprefix("# run: "))
    for path in paths:
        with writing(path.name, path.parent):
            if not holds(path, content.encode()):  # it may be on a disk that nothing can be written to
                write_atomically(path, content.encode())
    return paths[-1]


def _first_line(path: Path) -> str:
    """The first line of a file; empty where there is none that can be read."""
    try:
        return read_text(path, at_most=RECORD).partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        return ""
