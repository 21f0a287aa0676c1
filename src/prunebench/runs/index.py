"""Catalogue: what a run is called, and which runs there are."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import msgspec

from prunebench.config import LATER, deciding, told
from prunebench.errors import AmbiguousRun, RunError, on_a_line
from prunebench.registry import is_code, without_folder
from prunebench.runs.apart import differing
from prunebench.runs.files import MARK
from prunebench.runs.manifest import ANY_SEED, Kind, Manifest, read_manifest
from prunebench.runs.run import Run, steps_in

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Found = TypeVar("Found")

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
    """What a run's key begins with: `resnet18`, `timm-resnet18` for `timm:resnet18`, and `net` for
    `/some/where/net.py:build`; never a path."""
    place, colon, function = str(name).rpartition(":")
    short = Path(place).stem if colon and place.endswith(".py") else function.strip("<>")
    library, colon, own = str(name).partition(":")
    if colon and not is_code("model", str(name)):
        short = f"{library}-{Path(own).name}"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in short)


def all_runs(root: str | Path, *, begun: bool = False) -> list[Run]:
    """Every run in a folder that has a finished step, or with `begun` any, newest first.

    What cannot be read, or is a copy of another, is warned of and passed over.

    Raises:
        RunError: the folder itself cannot be read.
    """
    try:
        folders = [path for path in sorted(Path(root).iterdir()) if path.name[0] != "." and _is_folder(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(f"{root} cannot be read: {error.strerror}.") from error

    def read(folder: Path) -> list[tuple[float, str, Run]]:
        if not _is_run(folder):
            return []
        manifest = read_manifest(folder / MARK)
        run = Run(root, manifest, folder)
        return [(run.changed, run.key, run)] if begun or steps_in(manifest.files) else []

    found = [row for rows in each(folders, read, lambda folder: folder) for row in rows]
    return _without_copies([run for _, _, run in sorted(found, key=itemgetter(0, 1), reverse=True)])


def _without_copies(runs: Sequence[Run]) -> list[Run]:
    """Runs without those that lie under another name beside the run that they are copies of; these are warned of."""
    named = {run.key for run in runs if run.folder.name == run.key}
    copies = [run for run in runs if run.folder.name != run.key and run.key in named]
    for run in copies:
        log.warning("%s holds a copy of run %s. It is passed over.", on_a_line(str(run.folder)), run.key)
    passed_over = set(map(id, copies))
    return [run for run in runs if id(run) not in passed_over]


def each(
    items: Iterable[Item], read: Callable[[Item], Found], folder_of: Callable[[Item], Path], *, some: bool = False
) -> list[Found]:
    """What `read` makes of every run. One of which it cannot be made is warned of, by its folder, and passed over.

    Runs come from anywhere, so whatever goes wrong with one is taken for damage of it, and concerns no other.

    Raises:
        RunError: with `some`, it can be made of none.
    """
    found, problems = [], []
    for item in items:
        try:
            found.append(read(item))
        except RunError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{folder_of(item)} cannot be read: {error.strerror}.")
        except Exception as error:
            reason = " ".join(str(error).split())[:100]
            problems.append(f"{folder_of(item)} is damaged: {type(error).__name__}: {reason}.")
    if some and problems and not found:
        raise RunError(problems[0])
    for problem in problems:
        log.warning("%s It is passed over.", on_a_line(problem))
    return found


def _is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, or of one whose `run.json` is missing.

    Raises:
        RunError: that cannot be told.
    """
    try:
        if is_run_folder(folder):
            return True
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {error.strerror}.") from error
    if MARK in names:
        raise RunError(f"{folder} cannot be read: {os.strerror(errno.EACCES)}.")
    if "steps" in names:
        raise RunError(f"{folder / MARK} is missing.")
    return False


def find(root: str | Path, name: str, *, begun: bool = False) -> Run:
    """The run that a path, a key, or a unique beginning of a key or of its hash names.

    With `begun` it need not have a finished step.

    Raises:
        RunError: no run has that name; AmbiguousRun: several have.
    """
    if is_run_folder(name):
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
    if inside := [place for place in studies_in(root) if is_run_folder(place / name)]:
        raise RunError(f"There is no run {name!r} in {root}, but in {inside[0]}: give --runs-dir {inside[0]}.")
    if _is_folder(name):
        raise RunError(f"{name} is no run's folder. Its runs:  prunebench runs --runs-dir {name}")
    have = ", ".join(run.key for run in runs[:NAMED]) or "none"
    raise RunError(f"There is no run {name!r} in {root}; the newest are: {have}.")


def is_run_folder(path: str | Path) -> bool:
    """Whether a path, which may be any text, is that of a run's folder; `run.json` may be damaged."""
    return os.path.lexists(f"{path}/{MARK}")


def _is_folder(path: str | Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 — any text may stand here, for which Path raises


def studies_in(root: str | Path) -> list[Path]:
    """The folders of studies in a folder of runs, by name."""
    return sorted(path.parent for path in Path(root).glob("[!.]*/study.json"))
