"""Run: a directory that holds a config, the environment, and a record and a checkpoint per step.

    runs/resnet18-structured-1f0c…/
      run.json  environment.json  *.txt
      unit-costs.json        where units are ranked by latency: what they were measured to cost, once
      steps/003/record.json  steps/003/answers.json  steps/003/model.safetensors …
      progress-004-9ab3…/    the step that is being computed: a checkpoint, and state.json instead of a record

Bytes and paths only: no torch. `run.json` lists every file of a finished step, and those beside it, with its SHA-256,
and carries its own; a step exists if it is listed there. Whatever is written is written beside its place and renamed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from prunebench.errors import DiskError, PrunebenchError, RunError, RunLocked
from prunebench.reading import read_plain
from prunebench.records import FORMAT, Answers, Environment, StepRecord, TimingRecord, UnitCosts, other_format
from prunebench.runs import progress
from prunebench.runs.environment import completed
from prunebench.runs.files import (
    MARK,
    check_replaceable,
    digest,
    fresh,
    inside,
    make,
    move,
    own,
    remove,
    settle,
    write_atomically,
    writing,
)
from prunebench.runs.lock import held
from prunebench.runs.manifest import Manifest, decode, encode, problem_of, read_manifest
from prunebench.runs.reproducibility import check_same
from prunebench.showing import html

log = logging.getLogger(__name__)

OF_CHECKPOINTS = ("structure.json", "tokenizer.json", "answers.json", "kept.json")
"""Files of a step that stay as long as its checkpoint does, besides tensors."""

COSTS = "unit-costs.json"
"""File of what units were measured to cost: it stays as long as the run does, whatever becomes of its steps."""

ASIDE = "aside"
"""Folder of what was set aside: of runs beside them, of steps inside their run."""


class Run:
    """One run's directory. Making the object touches no disk; `working` creates the directory."""

    def __init__(self, root: str | Path, manifest: Manifest, folder: Path | None = None) -> None:
        self.root = Path(root)
        self.manifest = msgspec.structs.replace(manifest, files={}, checksum="")  # what is there is read when asked
        self.folder = folder or self.root / manifest.key

    @property
    def key(self) -> str:
        """What the run is called."""
        return self.manifest.key

    def __repr__(self) -> str:
        try:
            steps = self.steps()
        except (PrunebenchError, OSError):
            return f"Run({str(self.folder)!r}: it cannot be read)"
        which = {0: "no finished step", 1: "step 0"}.get(len(steps)) or f"steps {steps[0]} to {steps[-1]}"
        return f"Run({str(self.folder)!r}: {which})"

    def _repr_html_(self) -> str:
        return html(self)

    # What is there

    def files(self) -> dict[str, str]:
        """Paths in the run's folder of the files of its finished steps → SHA-256.

        Raises:
            RunError: `run.json` is damaged.
        """
        found = self._there()
        return {} if found is None else found.files

    def steps(self) -> list[int]:
        """Steps that are finished, in order."""
        return steps_in(self.files())

    def checkpoints(self) -> list[int]:
        """Finished steps whose checkpoint is kept, in order."""
        return sorted(int(name.split("/")[1]) for name in self.files() if name.endswith("/structure.json"))

    def step_folder(self, step: int) -> Path:
        """Where the files of a finished step are."""
        return self.folder / "steps" / f"{step:03d}"

    def record(self, step: int) -> StepRecord:
        """The record of a finished step of training or pruning.

        Raises:
            RunError: the step is not there, or its record is damaged.
        """
        record: StepRecord = self._record(step, StepRecord)
        return record

    def records(self) -> list[StepRecord]:
        """The records of the finished steps, in order."""
        return [self.record(step) for step in self.steps()]

    def timing(self, step: int) -> TimingRecord:
        """The timings of a finished step of an efficiency run; raises as `record` does."""
        record: TimingRecord = self._record(step, TimingRecord)
        return record

    def answers(self, step: int) -> Answers | None:
        """Which samples a finished step answers rightly; None where that was not kept, or went with its checkpoint.

        Raises:
            RunError: the file is damaged.
        """
        name = f"steps/{step:03d}/answers.json"
        if (checksum := self.files().get(name)) is None:
            return None
        self._check(name, checksum)
        answers: Answers = decode(self.folder / name, Answers)
        return answers

    def unit_costs(self) -> UnitCosts | None:
        """What units were measured to cost; None where that was not measured.

        Raises:
            RunError: the file is missing or damaged.
        """
        if (checksum := self.files().get(COSTS)) is None:
            return None
        self._check(COSTS, checksum)
        costs: UnitCosts = decode(self.folder / COSTS, UnitCosts)
        return costs

    def environment(self) -> Environment:
        """What the run is computed with."""
        self._check("environment.json", self.files()["environment.json"])
        environment: Environment = decode(self.folder / "environment.json", Environment)
        return environment

    def checkpoint(self, step: int) -> Path:
        """The folder of a finished step, all of whose files are intact.

        Raises:
            RunError: the step is not there, its checkpoint was not kept, or a file of it is damaged.
        """
        if step not in self.checkpoints():
            self.record(step)
            have = ", ".join(map(str, self.checkpoints())) or "none"
            raise RunError(
                f"Run {self.key} has not kept the checkpoint of step {step} (--keep); it has those of: {have}. "
                f"--fresh starts over."
            )
        self.check(step)
        return self.step_folder(step)

    def check(self, step: int) -> None:
        """Raise RunError where a file of a finished step is missing or has another SHA-256 than it had."""
        for name, checksum in self.files().items():
            if name.startswith(f"steps/{step:03d}/"):
                self._check(name, checksum)

    @property
    def begun(self) -> bool:
        """Whether a step is half done."""
        return bool(progress.folders(self.folder))

    def progress(self) -> Path | None:
        """The folder of the step that is half done, all of whose files are intact; None where there is none.

        Raises:
            RunError: a file of it is damaged.
        """
        if not (found := progress.folders(self.folder)):
            return None
        progress.check(found[-1])
        return found[-1]

    @property
    def created(self) -> str:
        """When the run was begun, as its folder says where it is there; another of the same key has another time."""
        there = self._there()
        return self.manifest.created if there is None else there.created

    @property
    def changed(self) -> float:
        """When the run last gained anything, seconds since the epoch."""
        return max(map(progress.changed, [self.folder / MARK, *progress.folders(self.folder)])) / 1e9

    def sibling(self, manifest: Manifest) -> Run:
        """Another run in the same folder of runs."""
        return Run(self.root, manifest)

    # What changes it

    @contextmanager
    def working(self, environment: Environment) -> Iterator[None]:
        """Hold the run for this process, make its folder, and clear away what a killed process left half-written.

        Raises:
            RunLocked: another process computes it.
            RunError: what is there was computed with another device, number of threads, or version.
            DiskError: its folder cannot be made.
        """
        with ExitStack() as stack:
            with writing(f"Run {self.key}", self.root):
                stack.enter_context(held(self.folder))
                self._begin(environment)
            try:
                yield
            finally:
                with suppress(OSError, PrunebenchError):  # what went wrong is told, not that the folder stays
                    if not (self.steps() or self.begun or (self.folder / ASIDE).exists()):  # nothing was computed
                        self._remove()

    def commit(
        self,
        record: StepRecord | TimingRecord,
        write: Callable[[Path], None] | None = None,
        answers: Answers | None = None,
    ) -> None:
        """Make a step exist: `write` puts its checkpoint into a folder, which is renamed into place and listed.

        Without `write` the checkpoint is that of the step's progress, whose files are neither copied nor read. The
        answers stay as long as the checkpoint does. Where a step is computed anew and comes out otherwise, later ones
        go aside: they were computed from another.

        Raises:
            DiskError: it cannot be written.
        """

        def told(folder: Path) -> None:
            (folder / "record.json").write_bytes(encode(record))
            if answers is not None:
                (folder / "answers.json").write_bytes(encode(answers))

        with writing(f"Step {record.step} of run {self.key}", self.folder):
            place = self._own("steps", f"{record.step:03d}")
            make(place.parent)
            with fresh(place) as beside:
                files = progress.link(self.folder, beside) if write is None else progress.written(beside, write)
                files |= progress.written(beside, told)
                settle(beside, place)  # what is there was left by a process that was killed before it listed the step
            self._keep_chain(record.step, files)
            self._list({**self.files(), **{f"steps/{place.name}/{name}": found for name, found in files.items()}})
        progress.forget(self.folder)

    def keep_unit_costs(self, costs: UnitCosts) -> None:
        """Keep what units were measured to cost, for every step, whoever computes it.

        Raises:
            DiskError: it cannot be written.
        """
        assert COSTS not in self.files(), "they are measured once"
        with writing(f"What units cost, of run {self.key},", self.folder):
            write_atomically(self._own() / COSTS, encode(costs))
            self._list({**self.files(), COSTS: digest(self.folder / COSTS)})

    def write_progress(self, step: int, write: Callable[[Path], None]) -> Callable[[], None]:
        """Have `write` fill a folder; what is returned makes it, once, that of the step that is half done.

        The latter is the slow part, which another thread may do, while the run is held. Both raise as follows.

        Raises:
            DiskError: it cannot be written.
        """
        about = f"The progress of run {self.key}", self.folder
        with writing(*about):
            replace = progress.replacing(self.folder, step, write)

        def rest() -> None:
            with writing(*about):
                replace()

        return rest

    def tidy(self) -> None:
        """Remove what a killed process left, of a run that is finished; nothing while another process computes it."""
        with suppress(RunLocked, DiskError, OSError):
            if self._litter():
                with held(self.folder):
                    self._sweep()

    def drop_checkpoints(self, steps: list[int]) -> None:
        """Remove the checkpoints of some steps; their records stay."""
        doomed = [
            name
            for name in self.files()
            if any(name.startswith(f"steps/{step:03d}/") for step in steps) and not name.endswith("/record.json")
        ]
        if doomed:
            with writing(f"Run {self.key}", self.folder):
                paths = [self._own(*name.split("/")[:-1]) / name.rpartition("/")[2] for name in doomed]
                self._list({name: checksum for name, checksum in self.files().items() if name not in doomed})
                for path in paths:
                    remove(path)

    def redo(self, step: int) -> None:
        """Set the files of a step aside, so that it is computed anew.

        Raises:
            RunError: the step is not there, or what it is computed from was not kept.
        """
        if step not in self.steps():
            have = ", ".join(map(str, self.steps())) or "none"
            raise RunError(f"--redo {step}: run {self.key} has no step {step}; it has: {have}.")
        if step > 0:
            self.checkpoint(step - 1)
        with writing(f"Run {self.key}", self.folder), held(self.folder):
            self._put_aside([step])

    def set_aside(self) -> Path | None:
        """Keep the run's folder, if there is one, where it is not continued; returns the new place.

        Raises:
            RunLocked: another process computes it.
        """
        if not self.folder.exists():
            return None
        with writing(f"Run {self.key}", self.root), held(self.folder):
            place = own(self.root, ASIDE, f"{self.folder.name}-{_now()}")
            make(place.parent)
            move(self.folder, place)
        return place

    def delete(self) -> None:
        """Remove the run's folder with all that is in it.

        Raises:
            RunLocked: another process computes it.
        """
        with held(self.folder):
            self._remove()

    # How

    def _remove(self) -> None:
        """Remove the folder; whoever is killed meanwhile leaves a hidden one, which is no run."""
        hidden = self.folder.with_name(f".{self.folder.name}-{_now()}")
        move(self._own(), hidden)
        remove(hidden)

    def _put_aside(self, steps: Sequence[int]) -> None:
        """Set the files of steps aside, and beside each a list of them, with the SHA-256 that they had."""
        self._continued()
        files = self.files()
        for step in steps:
            place, aside = self._own("steps", f"{step:03d}"), self._own(ASIDE, f"{step:03d}-{_now()}")
            of_step = {name: found for name, found in files.items() if name.startswith(f"steps/{place.name}/")}
            write_atomically(aside.with_name(f"{aside.name}.json"), encode(of_step))
            files = {name: found for name, found in files.items() if name not in of_step}
            self._list(files)
            if place.exists():
                move(place, aside)

    def _keep_chain(self, step: int, files: Mapping[str, str]) -> None:
        """Set later steps aside where a step that is there again is not the one that they were computed from."""
        if not (later := [other for other in self.steps() if other > step]):
            return
        was = self._before(step)
        shared = [name for name in files if name != "record.json" and name in was]  # records tell seconds, too
        environment = self.environment()
        repeats = environment.device == "cpu" or environment.deterministic
        if any(was[name] != files[name] for name in shared) or not (shared or repeats):
            log.warning(
                "step %d of run %s came out otherwise than before: what was computed from it, step %s, is set aside, "
                "and computed anew",
                *(step, self.key, ", ".join(map(str, later))),
            )
            self._put_aside(later)

    def _before(self, step: int) -> dict[str, str]:
        """Files of a step as they were listed when it was last set aside; empty where it never was."""
        lists = [path for path in inside(self._own(ASIDE)) if re.fullmatch(rf"{step:03d}-[0-9-]+\.json", path.name)]
        try:
            found = msgspec.json.decode(read_plain(lists[-1]), type=dict[str, str]) if lists else {}
        except (OSError, ValueError):
            return {}
        return {name.rpartition("/")[2]: checksum for name, checksum in found.items()}

    def _own(self, *parts: str) -> Path:
        """A path in the run's folder to write to; raises DiskError where a link leads out of it."""
        return own(self.folder.parent, self.folder.name, *parts)

    def _there(self) -> Manifest | None:
        """`run.json` as it is; None where nothing is there.

        Raises:
            RunError: it is damaged, or missing from what is there.
        """
        path = self.folder / MARK
        try:
            return read_manifest(path)
        except RunError as error:
            if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise
        if any(not found.name.startswith(".") for found in inside(self.folder)):
            raise RunError(
                f"{path} is missing. Start over with --fresh, which keeps what is there aside; in a study, move the "
                f"folder away."
            )
        return None

    def _record(self, step: int, kind: Any) -> Any:
        name = f"steps/{step:03d}/record.json"
        files = self.files()
        if name not in files:
            have = ", ".join(map(str, self.steps())) or "none"
            raise RunError(f"Run {self.key} has no step {step}; it has: {have}.")
        self._check(name, files[name])
        found = decode(self.folder / name, kind)
        if found.step != step:
            raise RunError(f"{self.folder / name} is damaged: it is the record of step {found.step}.")
        return found

    def _check(self, name: str, checksum: str) -> None:
        path = self.folder / name
        problem = problem_of(path, checksum)
        if not problem:
            return
        if self.manifest.kind == "prune" and name.startswith("steps/"):
            step = int(name.split("/")[1])
            raise RunError(
                f"{path} {problem}. Give the command of this run again with --redo {step}: step {step} is then "
                f"computed anew, and what is there kept aside."
            )
        command = {"train": "train", "prune": "prune"}.get(self.manifest.kind, "efficiency")
        raise RunError(
            f"{path} {problem}. Give the `{command}` command of this run again with --fresh: it starts over, and "
            f"keeps what is there aside."
        )

    def _begin(self, environment: Environment) -> None:
        self._own("steps")
        name = "environment.json"
        for file in (MARK, name):
            check_replaceable(self._own() / file)
        self._continued()
        if name in self.files():
            was = self.environment()
            check_same(self.key, was, completed(environment, was))
        else:
            self._list({})
            write_atomically(self.folder / name, encode(environment))
            self._list({name: digest(self.folder / name)})
        self._sweep()

    def _litter(self) -> list[Path]:
        """Half-written files; progress of finished steps; checkpoints that are no longer listed, or not yet."""
        files = self.files()
        here, steps = inside(self.folder), inside(self.folder / "steps")
        found = [path for path in (*here, *steps) if path.name.startswith(".")]
        done = tuple(f"progress-{step:03d}-" for step in self.steps())
        found += [path for path in here if path.name.startswith(done)]
        for path in (path for step in steps if step not in found for path in inside(step)):
            kept = path.suffix == ".safetensors" or path.name in OF_CHECKPOINTS
            if kept and path.relative_to(self.folder).as_posix() not in files:
                found.append(path)
        return found

    def _sweep(self) -> None:
        for path in self._litter():
            remove(path)

    def _continued(self) -> Manifest | None:
        """`run.json` before it is changed, if it is there; raises RunError where it is of an older format."""
        there = self._there()
        if there is not None and there.format != FORMAT:
            raise RunError(other_format(self.folder / MARK, there.format))
        return there

    def _list(self, files: Mapping[str, str]) -> None:
        there = self._continued()
        created = there.created if there else self.manifest.created
        manifest = msgspec.structs.replace(self.manifest, files=dict(files), created=created)
        write_atomically(self._own() / MARK, encode(manifest.sealed()))


def steps_in(files: Iterable[str]) -> list[int]:
    """The steps whose records are among the files of a run, in order."""
    return sorted(int(name.split("/")[1]) for name in files if name.endswith("/record.json"))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
