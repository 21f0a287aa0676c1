"""Verify: compute anew, from its files, all that a run recorded, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import msgspec

from prunebench.errors import RunError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.weights import start_of
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.costs import macs, masked, params
from prunebench.models.undisturbed import undisturbed
from prunebench.records import METRICS, Score, StepRecord
from prunebench.runs.environment import completed
from prunebench.runs.reproducibility import differing
from prunebench.runs.run import Run
from prunebench.statistics import interval_of
from prunebench.training.device import environment, use
from prunebench.training.fit import Progress, Stop

ROUNDING = 1e-6
"""By how much sums of one machine may differ, relative to them, since layers may lie in memory in another way."""

ELSEWHERE = 0.05
"""By how much a mean without an interval may differ on another machine, relative to it."""


class Verification(msgspec.Struct, frozen=True):
    """What was found of one step: what was compared, what differs, and what differs as it may."""

    step: int
    compared: tuple[str, ...]
    differences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@undisturbed
def inexact(run: Run, experiment: Experiment) -> str:
    """Why accuracies computed here may differ in a few samples from those recorded; empty where they may not."""
    was = run.environment()
    now = completed(environment(use(experiment.settings), experiment.settings.seed), was)
    changed = {name: values for name, values in differing(was, now).items() if name != "deterministic"}
    if was.hardware != now.hardware:
        changed["hardware"] = (was.hardware, now.hardware)
    return ", ".join(f"{name} {old} → {new}" for name, (old, new) in changed.items())


@undisturbed
def verify(
    run: Run, experiment: Experiment, progress: Progress | None = None, stop: Stop | None = None
) -> Iterator[Verification]:
    """Verify every finished step of a run; yields a verdict per step.

    Checksums, parameters and multiply-accumulates are compared exactly on every machine; accuracies exactly where
    device, threads, hardware and versions are those of the run, and elsewhere to within the recorded 95 % interval.

    Args:
        run: a run of any kind; of timings only checksums are compared.
        experiment: its own; where data is may differ.
        progress: told how far an evaluation is.
        stop: asked after every batch whether to stop.
    """
    exact = run.manifest.kind == "efficiency" or not inexact(run, experiment)
    setup: Setup | None = None
    for step in run.steps():
        try:
            run.check(step)
        except RunError as error:
            yield Verification(step, ("checksums",), (str(error),))
            continue
        if run.manifest.kind == "efficiency":
            yield Verification(step, ("checksums",))
        elif step not in run.checkpoints():
            yield Verification(step, ("checksums",), remarks=("its checkpoint was not kept (--keep)",))
        else:
            try:
                state = checkpoint.load(run.checkpoint(step), experiment.model)
            except RunError as error:
                yield Verification(step, ("checksums", "structure"), (str(error),))
                continue
            setup = setup or set_up(experiment, start_of(state), progress, stop)  # data is prepared once
            yield _computed_anew(setup, state, run.record(step), exact)


def _computed_anew(setup: Setup, state: Checkpoint, record: StepRecord, exact: bool) -> Verification:
    counts = {
        "parameters": (record.params, params(state.model)),
        "parameters left": (record.nonzero_params, params(state.model) - masked(state.masks)),
        "MACs": (record.macs, macs(state.model, setup.task.inputs)),
    }
    wrong = [f"{name}: recorded {old:,}, found {new:,}" for name, (old, new) in counts.items() if old != new]
    remarks: list[str] = []
    test, train = setup.scores(state)
    scores = [
        ("test", record.test_after, test),
        ("train", record.train_after, train),
        ("validation", record.validation, setup.validation(state)),
    ]
    for part, old, new in scores:
        for metric in {**(old.counted if old else {}), **(new.counted if new else {})}:
            one, other = (of.counted.get(metric) if of else None for of in (old, new))
            if not _equal(one, other):
                told = f"{part} {METRICS[metric].title}: recorded {_told(one)}, found {_told(other)}"
                (wrong if exact or not _within(metric, one, other) else remarks).append(told)
    return Verification(record.step, ("checksums", *counts, "accuracies"), tuple(wrong), tuple(remarks))


def _equal(old: Score | None, new: Score | None) -> bool:
    """Whether two scores are the same: counts to the last sample, sums of what is no count to rounding."""
    if old is None or new is None:
        return old is new
    return old.count == new.count and isclose(old.sum, new.sum, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _told(score: Score | None) -> str:
    if score is None:
        return "none"
    return f"{score.sum:g} of {score.count}" if score.sum.is_integer() else f"{score.mean:.6g}"


def _within(metric: str, old: Score | None, new: Score | None) -> bool:
    """Whether a score is one that another machine may have."""
    if old is None or new is None or old.count != new.count:
        return False
    low, high = interval_of(metric, old.mean, old.count) or (old.mean * (1 - ELSEWHERE), old.mean * (1 + ELSEWHERE))
    return low <= new.mean <= high
