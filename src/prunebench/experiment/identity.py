"""Identity: what a run is called. Its key is a hash of what decides its result: settings, and contents of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prunebench.config import RunConfig, Settings, deciding, field_types, is_weight_file
from prunebench.models.normalisation import statistics_beside, told
from prunebench.registry import content, digest, reference, without_folder
from prunebench.runs.index import ANY_SEED, any_seed, identify
from prunebench.runs.manifest import Kind, Manifest
from prunebench.runs.run import Run

NAMES = ("model", "dataset", "criterion")
"""Settings whose values may be functions."""

LATER = ("mean", "std")
"""Settings that came later: where they are not given they are no part of a key, so that runs of before are found."""

DECIDING = {"train": deciding("training"), "prune": deciding("training", "pruning")}
"""Settings that decide the result of each kind of run."""


def identity(kind: Kind, settings: Settings, start: Run | None, files: Iterable[Path], source: str | None) -> Manifest:
    """What a run that trains or prunes is.

    Args:
        kind: "train" or "prune".
        settings: all of them; those that decide this kind of run decide its key.
        start: the run whose weights it starts from.
        files: local files that the dataset reads.
        source: the key of the run that it goes on from.
    """
    values = as_stored(settings, start)
    contents = {name: content(getattr(settings, name)) for name in NAMES if name in DECIDING[kind]}
    if start is not None:
        contents["weights"] = f"step {max(start.steps(), default=0)}"
        if start.manifest.config.get("seed") == settings.seed:
            values[ANY_SEED] = any_seed(start.manifest)
    elif settings.weights not in ("none", "imagenet"):
        contents["weights"] = _weights_digest(Path(settings.weights))
        if settings.mean is None and is_weight_file(settings.weights):
            beside = statistics_beside(Path(settings.weights))
            contents["normalisation"] = None if beside is None else told(beside)
    contents["data"] = _listing(Path(settings.data_dir), sorted(files))
    return identify(
        kind,
        values,
        {
            name: without_folder(values[name])
            for name in DECIDING[kind]
            if name not in LATER or values[name] is not None
        },
        {name: found for name, found in contents.items() if found is not None},
        source,
    )


def as_stored(config: RunConfig, start: Run | None = None) -> dict[str, Any]:
    """The fields of a config as they are written into a run: functions as references, tuples as lists, and for
    `weights` of another config the key of the run that it makes."""
    found = {name: getattr(config, name) for name in field_types()}
    found |= {name: reference(found[name]) for name in NAMES if found[name] is not None}
    if start is not None and str(config.weights).endswith(".toml"):
        found["weights"] = start.key
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def _weights_digest(path: Path) -> str | None:
    """SHA-256 of a weight file, or of all files of a folder with their names; None for a name and no file."""
    if not path.exists():
        return None
    total = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(f"{file.name} {digest(file)}\n".encode())
    return total.hexdigest()


def _listing(folder: Path, files: list[Path]) -> str | None:
    """SHA-256 of the names and sizes of the local files that a dataset reads."""
    text = "".join(f"{file.relative_to(folder)} {file.stat().st_size}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest() if files else None
