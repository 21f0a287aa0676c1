"""Catalogue: what a run is called, and which runs there are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from prunebench.config import LATER, deciding, told
from prunebench.errors import AmbiguousRun, RunError
from prunebench.registry import without_folder
from prunebench.runs.apart import differing
from prunebench.runs.manifest import ANY_SEED, Kind, Manifest, read_manifest
from prunebench.runs.run import Run

log = logging.getLogger(__name__)

NAMED = 8
"""Runs that an error names."""

RESULTS = 2
"""Version of prunebench's results, raised when a change of it changes what a run computes, or what decides that."""


def identify(
    kind: Kind,
    config: Mapping[str, object],
    deciding: Mapping[str, object],
    contents: Mapping[str, str],
    source: str | None = None,
) -> Manifest:
    """What a run is: its key is a hash of the `deciding` settings, the digests in `contents`, and RESULTS."""
    text = msgspec.json.encode([kind, deciding, contents, RESULTS], order="deterministic")
    label = {"train": "dense", "prune": config["method"], "efficiency": f"efficiency-{config['method']}"}[kind]
    return Manifest(
        key=f"{title(config['model'])}-{label}-{hashlib.sha256(text).hexdigest()[:10]}",
        kind=kind,
        config=dict(config),
        contents=dict(contents),
        results=RESULTS,
        source=source,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def weights_without_seed(config: Mapping[str, object]) -> object:
    """What `weights` were in the settings of a stored run; the same for every seed.

    Where each seed started from a run of its own (`--weights FILE.toml`), that is what these have in common.
    """
    return config.get(ANY_SEED) or config.get("weights")


def any_seed(manifest: Manifest) -> str:
    """The same text for dense runs that differ in their seed alone; of the form of a key, which it is none of."""
    names = [name for name in deciding("training") if name not in ("seed", "weights")]
    late = [name for name in names if name not in ("mean", "std") and name in LATER]
    found = {name: without_folder(told(manifest.config, name)) for name in names}
    found = {name: value for name, value in found.items() if name not in late or value is not None}
    text = msgspec.json.encode([found, weights_without_seed(manifest.config)], order="deterministic")
    return f"{title(manifest.config['model'])}-dense-any-{hashlib.sha256(text).hexdigest()[:10]}"


def title(name: object) -> str:
    """What a run's key begins with: `resnet18`, and `net` for `/some/where/net.py:build`; never a path."""
    place, colon, function = str(name).rpartition(":")
    short = Path(place).stem if colon and place.endswith(".py") else function.strip("<>")
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in short)


def all_runs(root: str | Path, *, begun: bool = False) -> list[Run]:
    """Every run in a folder that has a finished step, or with `begun` any, newest first.

    What cannot be read is warned of and passed over.
    """
    found = []
    for path in Path(root).glob("[!.]*/run.json"):
        try:
            run = Run(root, read_manifest(path), path.parent)
            if begun or run.steps():
                found.append(run)
        except RunError as error:
            log.warning("%s It is passed over.", error)
    return sorted(found, key=lambda run: (run.changed, run.key), reverse=True)


def find(root: str | Path, name: str, *, begun: bool = False) -> Run:
    """The run that a path, a key, or a unique beginning of a key or of its hash names.

    With `begun` it need not have a finished step.

    Raises:
        RunError: no run has that name; AmbiguousRun: several have.
    """
    if (Path(name) / "run.json").is_file():
        folder = Path(name).resolve()
        run = Run(folder.parent, read_manifest(folder / "run.json"), folder)
        if not begun and not run.steps():
            raise RunError(f"{folder} has no finished step.")
        return run
    runs = all_runs(root, begun=begun)
    found = [run for run in runs if run.key == name] or [
        run for run in runs if run.key.startswith(name) or run.key.rpartition("-")[2].startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        told = [f"{run.key} ({apart})" if (apart := differing(run, found)) else run.key for run in found[:NAMED]]
        more = [f"and {len(found) - NAMED} more"] * (len(found) > NAMED)
        raise AmbiguousRun(f"{name!r} names several runs: {', '.join((*told, *more))}.")
    if inside := [place for place in studies_in(root) if (place / name / "run.json").is_file()]:
        raise RunError(f"There is no run {name!r} in {root}, but in {inside[0]}: give --runs-dir {inside[0]}.")
    if Path(name).is_dir():
        raise RunError(f"{name} is no run's folder. Its runs:  prunebench runs --runs-dir {name}")
    have = ", ".join(run.key for run in runs[:NAMED]) or "none"
    raise RunError(f"There is no run {name!r} in {root}; the newest are: {have}.")


def studies_in(root: str | Path) -> list[Path]:
    """The folders of studies in a folder of runs, by name."""
    return sorted(path.parent for path in Path(root).glob("[!.]*/study.json"))
