"""Run: a directory that holds a config, the environment, and a record and a checkpoint per step.

    runs/resnet18-structured-1f0c…/
      run.json  environment.json  *.txt
      steps/003/record.json  steps/003/model.safetensors …

Bytes and paths only: no torch. A step exists or it does not: it is written beside its place and renamed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from prunebench.errors import AmbiguousRun, ConfigError, RunError
from prunebench.records import FORMAT, Environment, RunInfo, StepRecord

log = logging.getLogger(__name__)

RECIPE = 1
"""Raised when a change of prunebench changes the result of a run."""


class Run:
    """One run's directory. Making the object touches no disk; the first `commit` creates the directory."""

    def __init__(self, root: str | Path, info: RunInfo, folder: Path | None = None) -> None:
        self.root = Path(root)
        self.info = info
        self.folder = folder or self.root / info.key

    def steps(self) -> list[int]:
        """Steps that are finished, in order."""
        return sorted(int(path.parent.name) for path in self.folder.glob("steps/[0-9]*/record.json"))

    def step_folder(self, step: int) -> Path:
        """Where the files of a finished step are."""
        return self.folder / "steps" / f"{step:03d}"

    def record(self, step: int) -> StepRecord:
        """The record of a finished step.

        Raises:
            RunError: the step is not there, or its record cannot be read.
        """
        path = self.step_folder(step) / "record.json"
        if not path.is_file():
            have = ", ".join(map(str, self.steps())) or "none"
            raise RunError(f"Run {self.info.key} has no step {step}; it has: {have}.")
        record: StepRecord = _decode(path, StepRecord)
        return record

    def records(self) -> list[StepRecord]:
        """The records of the finished steps, in order."""
        return [self.record(step) for step in self.steps()]

    def commit(self, record: StepRecord, environment: Environment, write: Callable[[Path], None]) -> None:
        """Make a step exist: `write` puts its checkpoint into a folder, which is then renamed into place."""
        place = self.step_folder(record.step)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "run.json").exists():
            write_atomically(self.folder / "environment.json", _encode(environment))
            write_atomically(self.folder / "run.json", _encode(self.info))
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            write(beside)
            (beside / "record.json").write_bytes(_encode(record))
            beside.chmod(0o755)
            beside.rename(place)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def sibling(self, info: RunInfo) -> Run:
        """Another run in the same folder of runs."""
        return Run(self.root, info)

    @property
    def changed(self) -> float:
        """When the run last gained a step, seconds since the epoch."""
        return max((path.stat().st_mtime for path in self.folder.glob("steps/*/record.json")), default=0.0)


def identify(
    kind: str,
    config: Mapping[str, object],
    deciding: Mapping[str, object],
    contents: Mapping[str, str],
    dense: str | None = None,
) -> RunInfo:
    """The identity of a run: its key is a hash of the `deciding` settings, the digests in `contents` and the recipe."""
    text = msgspec.json.encode([kind, deciding, contents, RECIPE], order="deterministic")
    method = config["method"] if kind == "prune" else "dense"
    label = "".join(c if c.isalnum() or c in "-_" else "-" for c in title(config["model"]))
    return RunInfo(
        key=f"{label}-{method}-{hashlib.sha256(text).hexdigest()[:10]}",
        kind=kind,
        config=dict(config),
        contents=dict(contents),
        recipe=RECIPE,
        dense=dense,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def title(name: object) -> str:
    """What files of a run are called by: `resnet18`, and `net` for `/some/where/net.py:build`."""
    place, colon, function = str(name).rpartition(":")
    if not colon:
        return str(name).strip("<>")
    return Path(place).stem if place.endswith(".py") else function


def all_runs(root: str | Path) -> list[Run]:
    """Every run in a folder that has a finished step, newest first; what cannot be read is warned of."""
    found = []
    for path in Path(root).glob("*/run.json"):
        try:
            run = Run(root, _decode(path, RunInfo), path.parent)
        except RunError as error:
            log.warning("%s It is passed over.", error)
            continue
        if run.steps():
            found.append(run)
    return sorted(found, key=lambda run: (run.changed, run.info.key), reverse=True)


def find(root: str | Path, name: str) -> Run:
    """The run that a path, a key, or a unique beginning of a key or of its hash names.

    Raises:
        RunError: no run has that name; AmbiguousRun: several have.
    """
    if (Path(name) / "run.json").is_file():
        folder = Path(name).resolve()
        run = Run(folder.parent, _decode(folder / "run.json", RunInfo), folder)
        if not run.steps():
            raise RunError(f"{folder} has no finished step.")
        return run
    runs = all_runs(root)
    found = [run for run in runs if run.info.key == name] or [
        run for run in runs if run.info.key.startswith(name) or run.info.key.rpartition("-")[2].startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousRun(f"{name!r} names several runs: {', '.join(run.info.key for run in found)}.")
    have = ", ".join(run.info.key for run in runs[:8]) or "none"
    raise RunError(f"There is no run {name!r} in {root}; the newest are: {have}.")


def check_writable(folder: str | Path) -> None:
    """Raise ConfigError unless files can be written into a folder, or into the nearest one above that exists."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _encode(thing: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(thing), indent=1) + b"\n"


def _decode(path: Path, kind: Any) -> Any:
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data).get("format")
        if version != FORMAT:
            raise RunError(f"{path} has format {version}; this version of prunebench reads format {FORMAT}.")
        return msgspec.json.decode(data, type=kind)
    except (OSError, msgspec.MsgspecError, AttributeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from error
