"""Telling: one run's trackers, what they were told, and what they are told next.

What was told is noted in `RUNS/.trackers/TRACKER/KEY.json`, line by line, so that a run that was killed goes on in the
same place: lines that are computed again are not told again. A tracker that fails is warned of, and told no more.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from prunebench.errors import PrunebenchError, RunLocked, Stopped
from prunebench.reading import read_plain
from prunebench.records import StepRecord
from prunebench.registry import reference
from prunebench.runs.files import own, write_atomically
from prunebench.runs.lock import held
from prunebench.runs.run import Run
from prunebench.tracking.lines import Figures, Kind, line_of_epoch, line_of_step, of_epoch, of_step, settings_told
from prunebench.tracking.trackers import State, Told, Tracker, check_tracker
from prunebench.user_code import failure

log = logging.getLogger(__name__)

FOLDER = ".trackers"

OF_EPOCH = ("step", "epoch", "loss", "metric", "score", "lr")
"""What of the progress of training is told at the end of an epoch."""


class Note(msgspec.Struct, frozen=True):
    """What a tracker was told: of the run that was begun then, all lines up to the last."""

    created: str
    last: int


class Heard:
    """One tracker of one run: told each line once, in order, until it fails."""

    def __init__(self, tracker: Tracker, run: Run) -> None:
        self._name, self._run, self._created = tracker.name, run, run.created
        self._place = place_of(run, tracker.name)
        self._hears: Any = None
        self.last = noted(self._place, self._created)
        try:
            self._hears = tracker.open(told_of(run, self._created, self.last))
            self.last = int(getattr(self._hears, "last", self.last))
        except (Exception, SystemExit) as error:
            self._fail(error)

    def tell(self, line: int, figures: Callable[[], Figures]) -> None:
        """Tell a line, unless it was told already."""
        if self._hears is None or line <= self.last:
            return
        try:
            self._hears.tell(line, figures())
            self.last = line
            write_atomically(self._place, msgspec.json.encode(Note(self._created, line)))
        except (Exception, SystemExit) as error:
            with suppress(Exception, SystemExit):  # which would fail for the same reason
                self._hears.close("failed")
            self._fail(error)

    def close(self, state: State) -> None:
        """Say how the run ended."""
        if (close := getattr(self._hears, "close", None)) is not None:
            try:
                close(state)
            except (Exception, SystemExit) as error:
                self._fail(error)
        self._hears = None

    def _fail(self, error: BaseException) -> None:
        self._hears = None
        log.warning(
            "--track %s failed, and is told no more of run %s: %s. The run itself goes on, and keeps its records.",
            *(self._name, self._run.key, str(error) if isinstance(error, PrunebenchError) else failure(error)),
        )


def place_of(run: Run, tracker: str) -> Path:
    """The file in which it is noted what a tracker was told of a run; of one of the user's own, by where it is."""
    name = tracker if tracker.isalnum() else f"own-{hashlib.sha256(str(reference(tracker)).encode()).hexdigest()[:10]}"
    return own(run.root, FOLDER, name, f"{run.key}.json")


def noted(place: Path, created: str) -> int:
    """The number of the last line that was told of the run that was begun then; -1 where none was."""
    with suppress(OSError, ValueError, RecursionError):
        note = msgspec.json.decode(read_plain(place), type=Note)
        return note.last if note.created == created else -1
    return -1


def told_of(run: Run, created: str, last: int) -> Told:
    """What trackers are told of a run before its first line."""
    folder, manifest = run.folder.absolute(), run.manifest
    tags = {"run": run.key, "folder": str(folder), "kind": manifest.kind}
    tags |= {"source": manifest.source} if manifest.source else {}
    return Told(run.key, created, folder, run.root.absolute(), settings_told(manifest), tags, last)


@dataclass(frozen=True)
class Telling:
    """The trackers of one run, whose steps are trained for so many epochs each."""

    kind: Kind
    epochs: int
    heard: tuple[Heard, ...] = ()

    def hearing(self, progress: Callable[[Any], None]) -> Callable[[Any], None]:
        """A listener to the progress of training that tells of epochs too."""
        if not self.heard:
            return progress

        def both(tick: Any) -> None:
            progress(tick)
            self._tick(tick)

        return both

    def step(self, record: StepRecord, unpruned: StepRecord) -> None:
        """Tell of a finished step."""
        for each in self.heard:
            each.tell(line_of_step(self.kind, record.step, self.epochs), lambda: of_step(record, unpruned))

    def _tick(self, tick: Any) -> None:
        """Tell of an epoch where it ends: of the training that the run is about, and no other inside it."""
        mine = tick.phase == {"train": "train", "prune": "finetune"}[self.kind]
        if mine and tick.batch == tick.batches and tick.lr is not None:
            figures = of_epoch(**{name: getattr(tick, name) for name in OF_EPOCH})
            for each in self.heard:
                each.tell(line_of_epoch(self.kind, tick.step, tick.epoch, self.epochs), lambda: figures)


@contextmanager
def telling(names: Sequence[str], run: Run | None, epochs: int) -> Iterator[Telling]:
    """The trackers of a run that this process holds, open while it is computed.

    Args:
        names: of the trackers.
        run: which, of training or pruning; None where nothing is kept.
        epochs: of the training in each of its steps.
    """
    kind: Kind = "train" if run is not None and run.manifest.kind == "train" else "prune"
    if not names or run is None:
        yield Telling(kind, epochs)
        return
    heard = tuple(Heard(check_tracker(name), run) for name in dict.fromkeys(names))
    state: State = "failed"
    try:
        yield Telling(kind, epochs, heard)
        state = "finished"
    except GeneratorExit:  # whoever asked for steps wants no more of them
        state = "finished"
        raise
    except (Stopped, KeyboardInterrupt):
        state = "stopped"
        raise
    finally:
        for each in heard:
            each.close(state)


def tell_finished(names: Sequence[str], run: Run, epochs: int) -> None:
    """Tell trackers of the finished steps of a run that is not computed any more, where they were not told.

    Of a run that another process holds nothing is told.
    """
    if not names or not run.steps():
        return
    last = line_of_step("train" if run.manifest.kind == "train" else "prune", run.steps()[-1], epochs)
    behind = [name for name in names if noted(place_of(run, name), run.created) < last]
    if not behind:
        return
    try:
        with held(run.folder), telling(behind, run, epochs) as told:
            for step in run.steps():
                told.step(run.record(step), run.record(0))
    except (RunLocked, OSError) as error:
        log.warning("--track was told nothing of run %s, which is finished: %s", run.key, error)
