"""Which run belongs to a config: the identity of dense and pruning runs, and why a new one starts."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunebench.architecture import models
from prunebench.catalogue import all_runs, identify
from prunebench.config import RunConfig, deciding, field_types
from prunebench.data import datasets
from prunebench.lock import held
from prunebench.records import RunInfo, StepRecord
from prunebench.registry import content, reference, without_folder
from prunebench.resolve import resolve, weights_source
from prunebench.store import Run

NAMES = ("model", "dataset", "criterion")


def dense_run(config: RunConfig) -> Run:
    """The run that trains the dense model of a config; every pruning run of the same training shares it."""
    config = resolve(config)
    return Run(str(config.runs_dir), _identity("train", config, deciding("training"), NAMES[:2], None))


def pruning_run(config: RunConfig) -> Run:
    """The run that prunes by a config."""
    config = resolve(config)
    dense = dense_run(config)
    fields = deciding("training", "pruning")
    return dense.sibling(_identity("prune", config, fields, NAMES, dense.info.key))


def why_new(run: Run) -> str | None:
    """Why a run starts anew although one of the same settings exists; None where none does."""
    mine = _comparable(run.info)
    for other in all_runs(run.root):
        if other.info.key != run.info.key and other.info.kind == run.info.kind and _comparable(other.info) == mine:
            changed = _apart(run.info.contents, other.info.contents)
            what = f"{' and '.join(changed)} changed" if changed else "prunebench computes it differently now"
            return f"{what} since run {other.info.key}, so this is a new run"
    return None


def efficiency_run(config: RunConfig, settings_of_timing: Mapping[str, Any], timed: Run | None) -> Run:
    """The run that times a pruning run, or untrained weights; every machine has its own."""
    config = resolve(config)
    pruning = timed or pruning_run(config)
    machine = {"host": platform.node(), "cores": os.cpu_count(), "device": config.device, "threads": config.threads}
    chosen = {**settings_of_timing, **machine, "of": pruning.info.key, "trained": timed is not None}
    given = {name: value for name, value in settings_of_timing.items() if value is not None}
    values = {**settings(config), **given}
    info = identify("efficiency", values, chosen, {}, pruning.info.key if timed else None)
    return Run(str(config.runs_dir), info)


def answer(run: Run, config: RunConfig) -> list[StepRecord] | None:
    """The records of the steps that a resolved config asks for, if the run has them all; else None.

    Checkpoints that `keep` does not ask for are removed.
    """
    if not finished(run, config):
        return None
    if config.keep != "all":
        with held(run.folder):
            trim(run, config)
    run.tidy()
    return [run.record(step) for step in range((config.iterations or 0) + 1)]


def finished(run: Run, config: RunConfig) -> bool:
    """Whether a run has every step that a resolved config asks for."""
    last = 0 if run.info.kind == "train" else config.iterations or 0
    return set(range(last + 1)) <= set(run.steps())


def trim(run: Run, config: RunConfig) -> None:
    """Remove the checkpoints that `keep` does not ask for."""
    kept = run.checkpoints()
    if config.keep == "records" and finished(run, config):
        run.drop_checkpoints(kept)
    elif config.keep != "all":
        run.drop_checkpoints(kept[:-1])


def changed_contents(run: Run, config: RunConfig) -> list[str]:
    """Which of the files that decide a run's result (model, data, criterion …) are no longer what they were."""
    now = (pruning_run(config) if run.info.kind == "prune" else dense_run(config)).info.contents
    return _apart(now, run.info.contents)


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def settings(config: RunConfig) -> dict[str, Any]:
    """The fields of a config as they are written into a run: functions as references, tuples as lists."""
    found = {name: getattr(config, name) for name in field_types()}
    named = {name: reference(found[name]) for name in NAMES if found[name] is not None}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in {**found, **named}.items()}


def _comparable(info: RunInfo) -> dict[str, Any]:
    fields = deciding("training") if info.kind == "train" else deciding("training", "pruning")
    return {name: without_folder(info.config.get(name)) for name in fields}


def _identity(kind: str, config: RunConfig, fields: list[str], names: tuple[str, ...], dense: str | None) -> RunInfo:
    values = settings(config)
    chosen = {name: without_folder(values[name]) for name in fields}
    digests = {name: content(getattr(config, name)) for name in names}
    source, start = weights_source(config, models.get(config.model))
    if start is not None:
        digests["weights"] = f"step {start.steps()[-1]}"
    elif source in ("file", "hub"):
        digests["weights"] = _weights_digest(Path(str(config.weights)))
    digests["data"] = _listing(config)
    contents = {name: digest for name, digest in digests.items() if digest is not None}
    return identify(kind, values, chosen, contents, dense)


def _weights_digest(path: Path) -> str | None:
    """SHA-256 of a weight file, or of all files of a folder with their names; None for a name of Hugging Face."""
    if not path.exists():
        return None
    total = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def _listing(config: RunConfig) -> str | None:
    """SHA-256 of the names and sizes of the local files that the dataset reads."""
    folder = Path(str(config.data_dir))
    files = sorted(datasets.get(config.dataset).files(folder))
    text = "".join(f"{file.relative_to(folder)} {file.stat().st_size}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest() if files else None
