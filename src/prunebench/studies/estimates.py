"""What a study will take of time and disk, by steps that were measured before, and where none were, by a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING

from prunebench.config import told
from prunebench.experiment.experiment import Experiment
from prunebench.records import Seconds
from prunebench.runs.files import size
from prunebench.runs.index import each
from prunebench.runs.run import Run
from prunebench.runs.snapshot import snapshot
from prunebench.studies.stopping import done, steps_of

if TYPE_CHECKING:
    from prunebench.experiment.pace import Pace

ALIKE = ("model", "dataset", "image_size", "sequence_length")
"""Settings that steps must share for one to tell what another takes."""

OF_STEPS = ("batch_size", "retrain", "every", "finetune_epochs", "finetune_updates", "finetune_batch_size")
"""Those that steps of pruning must share besides."""


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes that are still to come, how many steps nothing is known of, and of how many only a trial tells,
    which tells nothing of bytes."""

    seconds: float
    bytes: float
    steps: int
    unknown: int
    tried: int = 0


@dataclass(frozen=True)
class Measured:
    """Seconds of trainings per epoch and of steps, and bytes of checkpoints by step, of one kind of run."""

    epochs: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    bytes: dict[int, list[float]] = field(default_factory=dict)

    def bytes_of(self, step: int) -> float:
        """The median bytes of a step's checkpoints; of a step that was never kept as of the largest."""
        return median(self.bytes.get(step) or [max(chain.from_iterable(self.bytes.values()), default=0)])


NOTHING = Measured()


def estimate(
    planned: Iterable[Experiment], measured: Sequence[Run], tried: Mapping[str, Pace] | None = None
) -> Estimate:
    """Estimate what is missing of the planned runs.

    A step takes the median of the steps of the same model, data, size of inputs and method; a training the median of
    the trainings per epoch; a checkpoint the median bytes of those of the same step. Where none was measured, a step or
    an epoch takes what a trial found (`trial`), by the run's key.
    """
    known, tried = _known(measured), tried or {}
    seconds = total = 0.0
    steps = unknown = by_trial = 0
    trained: set[str] = set()
    for experiment in planned:
        run = experiment.run
        for phase in experiment.untrained_phases():
            dense = phase.dense
            if dense.key in trained:
                continue
            trained.add(dense.key)
            before = known.get(_alike(dense), NOTHING)
            steps += 1
            if before.epochs:
                seconds += median(before.epochs) * phase.settings.epochs
                total += before.bytes_of(0)
            elif run.key in tried:
                by_trial += 1
                pace = tried[run.key]
                seconds += pace.epoch * phase.settings.epochs + pace.scoring + pace.run
            else:
                unknown += 1
        asked = [] if done(run, experiment) else range(experiment.settings.iterations + 1)
        there = steps_of(run) if asked else []
        missing = [step for step in asked if step not in there]
        of = known.get(_alike(run), NOTHING)
        steps += len(missing)
        if of.steps:
            seconds += median(of.steps) * len([step for step in missing if step > 0])
            total += sum(map(of.bytes_of, missing))
        elif run.key in tried:
            by_trial += len(missing)
            later = len([step for step in missing if step > 0])
            seconds += tried[run.key].step * later + tried[run.key].run * bool(missing)
        else:
            unknown += len(missing)
    return Estimate(seconds, total, steps, unknown, by_trial)


def untried(planned: Iterable[Experiment], measured: Sequence[Run]) -> list[Experiment]:
    """Those of the planned runs of which something is missing that no run tells the time of."""
    known, found = _known(measured), []
    for experiment in planned:
        epochs = [known.get(_alike(phase.dense), NOTHING).epochs for phase in experiment.untrained_phases()]
        if not done(experiment.run, experiment) and not (
            all(epochs) and known.get(_alike(experiment.run), NOTHING).steps
        ):
            found.append(experiment)
    return found


def _known(measured: Sequence[Run]) -> dict[tuple[object, ...], Measured]:
    known: dict[tuple[object, ...], Measured] = {}
    runs = [run for run in measured if run.manifest.kind in ("train", "prune")]
    for run, kind, epochs, seconds in each(map(snapshot, runs), _read, lambda run: run.folder):
        of, kept = known.setdefault(kind, Measured()), run.checkpoints()
        for step, took in seconds:
            if run.manifest.kind == "train":
                if epochs:
                    of.epochs.append(took.finetune / epochs)
            elif step > 0:
                of.steps.append(took.prune + took.evaluate_before + took.finetune + took.evaluate_after)
            if step in kept:
                of.bytes.setdefault(step, []).append(size(run.step_folder(step)))
    return known


def _read(run: Run) -> tuple[Run, tuple[object, ...], int, list[tuple[int, Seconds]]]:
    """A run, its kind, epochs of training, and the seconds of its steps: whole records of many runs take much room."""
    seconds = [(record.step, record.seconds) for record in run.records()]
    return Run(run.root, run.manifest, run.folder), _alike(run), int(str(run.manifest.config["epochs"])), seconds


def _alike(run: Run) -> tuple[object, ...]:
    stored, prunes = run.manifest.config, run.manifest.kind == "prune"
    of_steps = [stored["method"], *(str(told(stored, name)) for name in OF_STEPS)] if prunes else []
    return (run.manifest.kind, *of_steps, *(str(stored[name]) for name in ALIKE))
