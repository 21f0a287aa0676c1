"""Verify: compute anew, from its files, all that a run recorded, and compare."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import msgspec
import torch

from prunebench.data.dataset import Part
from prunebench.errors import RunError
from prunebench.experiment.answers import Answered, unpacked
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.costs import masked, params
from prunebench.models.macs import effective, total, uses
from prunebench.models.undisturbed import undisturbed
from prunebench.records import METRICS, Answers, Bits, Score, Scores, StepRecord
from prunebench.runs.environment import completed
from prunebench.runs.reproducibility import differing
from prunebench.runs.run import Run
from prunebench.training.device import environment, use
from prunebench.training.fit import Progress, Stop

ROUNDING = 1e-6
"""By how much sums of one machine may differ, relative to them, since layers may lie in memory in another way."""

ELSEWHERE = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 5e-3, "bf16": 4e-2}
"""By which share of a sample's largest logit another machine may round its logits otherwise.

Of a trained ResNet18 and BERT-mini, other kernels, layouts and numbers of threads on one CPU changed logits by at most
9e-6 of the largest in fp32, and none of 800 answers; in bf16 by 1.1e-2, which there is off exact arithmetic by at most
1.8e-2, and so may be off another machine by twice that. TF32, in which GPUs convolved in earlier versions, and fp16 are
eight times finer than bf16; where a GPU takes part, fp32 is taken for TF32.
"""

UNKNOWN = 1e-3
"""Of the answers of an earlier version, which kept none, what may differ elsewhere: this share, and one at least."""


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
    changed = {name: values for name, values in differing(was, now).items() if name not in ("deterministic", "devices")}
    if was.hardware != now.hardware:
        changed["hardware"] = (was.hardware, now.hardware)
    return ", ".join(f"{name} {old} → {new}" for name, (old, new) in changed.items())


@undisturbed
def verify(
    run: Run, experiment: Experiment, progress: Progress | None = None, stop: Stop | None = None
) -> Iterator[Verification]:
    """Verify every finished step of a run; yields a verdict per step.

    Checksums, parameters and multiply-accumulates are compared exactly on every machine; answers and scores exactly
    where device, threads, hardware and versions are those of the run. Elsewhere a sample may be answered otherwise
    where two logits are nearly equal, and a mean may change by what such rounding changes (see `rounding`).

    Args:
        run: a run of any kind; of timings only checksums are compared.
        experiment: its own; where data is may differ.
        progress: told how far an evaluation is.
        stop: asked after every batch whether to stop.
    """
    run.unit_costs()  # which is told where it is damaged
    exact = run.manifest.kind == "efficiency" or not inexact(run, experiment)
    share = None if exact else rounding(run, experiment)
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
            yield _computed_anew(setup, state, run.record(step), run.answers(step), share)


def rounding(run: Run, experiment: Experiment) -> float:
    """By which share of its largest logit a sample's logits may be rounded otherwise here than where a run was made."""
    devices, dtype = {run.environment().device, use(experiment.settings).type}, experiment.settings.dtype
    return ELSEWHERE["tf32" if dtype == "fp32" and devices != {"cpu"} else dtype]


def _computed_anew(
    setup: Setup, state: Checkpoint, record: StepRecord, answers: Answers | None, share: float | None
) -> Verification:
    """The verdict on a step; with a `share`, rounding may change scores by what it changes, else by nothing."""
    wrong, remarks = _counted(setup, state, record)
    found = setup.answered(state, "test", "train", "validation", share=share)
    kept = answers.parts if answers is not None else {}
    recorded: dict[Part, Scores | None] = {
        "test": record.test_after,
        "train": record.train_after,
        "validation": record.validation,
    }
    for part, scores in recorded.items():
        new = found.get(part)
        differ, may_differ = _scored(part, scores, new, exact=share is None, known=part in kept)
        if part in kept and scores is not None and new is not None:
            others, near = _answered(part, kept[part], scores, new)
            differ, may_differ = [*differ, *others], [*may_differ, *near]
        wrong += differ
        remarks += may_differ
    compared = ("checksums", "parameters", "parameters left", "MACs", "accuracies", *["answers"] * bool(kept))
    return Verification(record.step, compared, tuple(wrong), tuple(remarks))


def _counted(setup: Setup, state: Checkpoint, record: StepRecord) -> tuple[list[str], list[str]]:
    """What of parameters and multiply-accumulates differs, and what differs as it may."""
    multiplied = uses(state.model, setup.task.inputs)
    counts = {
        "parameters": (record.params, params(state.model)),
        "parameters left": (record.nonzero_params, params(state.model) - masked(state.masks)),
        "MACs": (record.macs, total(multiplied)),
        "effective MACs": (record.effective_macs, effective(multiplied, state.masks)),
    }
    wrong: list[str] = []
    remarks: list[str] = []
    for name, (old, new) in counts.items():
        if old is not None and old != new:
            told = f"{name}: recorded {old:,}, found {new:,}"
            if name == "MACs" and record.effective_macs is None and old < new:
                remarks.append(f"{told} (an earlier version did not count attention and recurrent layers)")
            else:
                wrong.append(told)
    return wrong, remarks


def _scored(
    part: str, old: Scores | None, new: Answered | None, *, exact: bool, known: bool
) -> tuple[list[str], list[str]]:
    """What of the scores on a part of the data differs, and what differs as it may.

    Where answers are `known`, they are compared one by one beside it; else so many alone may differ as UNKNOWN says.
    """
    wrong: list[str] = []
    remarks: list[str] = []
    main = old.main.name if old else None
    for metric in {**(old.counted if old else {}), **(new.scores.counted if new else {})}:
        one, other = (of.counted.get(metric) if of else None for of in (old, new and new.scores))
        if _equal(one, other):
            continue
        told = f"{part} {METRICS[metric].title}: recorded {_told(one)}, found {_told(other)}"
        may = False
        if not exact and one and other and new and one.count == other.count and metric in new.swings:
            most = float(new.swings[metric].sum(dtype=torch.float64))
            if metric == main and not known:
                most = min(most, max(1, int(UNKNOWN * one.count)))
            may = abs(other.sum - one.sum) <= most * (1 + ROUNDING) + ROUNDING * abs(one.sum)
        (remarks if may else wrong).append(told)
    return wrong, remarks


def _answered(part: str, bits: Bits, old: Scores, new: Answered) -> tuple[list[str], list[str]]:
    """What of the answers to a part of the data differs from those that were kept, and what differs as it may."""
    before = unpacked(bits)
    if len(before) != len(new.right) or int(before.sum()) != round(old.counted[old.main.name].sum):
        return [f"{part} answers: {int(before.sum())} of {len(before)} right were kept, others than were counted"], []
    flipped = before != new.right
    count = int(flipped.sum())
    if not count:
        return [], []
    told = f"{part} answers: {count:,} of {len(flipped):,} are others"
    if not new.swings:
        return [told], []
    far = int((flipped & (new.swings[old.main.name] == 0)).sum())
    if far:
        return [f"{told}, {far:,} of which no rounding explains"], []
    return [], [f"{told}, each of them between logits that are nearly equal"]


def _equal(old: Score | None, new: Score | None) -> bool:
    """Whether two scores are the same: counts to the last sample, sums of what is no count to rounding."""
    if old is None or new is None:
        return old is new
    return old.count == new.count and isclose(old.sum, new.sum, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _told(score: Score | None) -> str:
    if score is None:
        return "none"
    return f"{score.sum:g} of {score.count}" if score.sum.is_integer() else f"{score.mean:.6g}"
