"""Damage: what a pruned model answers otherwise than the dense one that it comes from, test sample by test sample.

Top-1 accuracy hides it: of two models as accurate as each other many answers may differ ("prediction churn", Milani
Fard et al. 2016), and what pruning loses is spread unevenly over classes and samples ("pruning identified exemplars",
Hooker et al. 2019, arXiv 1911.05248).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import torch

from prunebench.errors import RunError
from prunebench.experiment.damages import ANSWERS, files_of, flags, keep, kept, most_lost
from prunebench.experiment.existing import check_data
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.setup import Setup, set_up
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.models import checkpoint
from prunebench.models.undisturbed import undisturbed
from prunebench.records import Bits, DamageRecord, Predictions, Trial
from prunebench.registry import reference
from prunebench.runs.index import find
from prunebench.runs.reproducibility import check_versions
from prunebench.runs.run import Run
from prunebench.training.fit import Progress, Stop

SHOWN = 24
"""Samples lost most often that are shown."""


@undisturbed
def damage(
    run: Run,
    step: int,
    experiment: Experiment,
    others: Sequence[Run] = (),
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> DamageRecord:
    """What the dense model and that of a step answer to every test sample, and which samples are lost most often.

    Both are computed from their checkpoints, once: it is kept beside the runs. Which samples are lost most often, is
    found over the other seeds, where answers of theirs are kept, else over the steps of the run.

    Args:
        run: a pruning run; it stays as it is.
        step: a pruned one.
        experiment: the run's own; where the data is, device and threads may differ.
        others: runs that differ from it in their seed alone.
        progress: told how far an evaluation is.
        stop: asked after every batch whether to stop.

    Raises:
        RunError: a checkpoint is gone, or data or a version of what prepares it is another than it was.
        Stopped: `stop` asked for it.
    """
    over, trials = _trials(run, step, others)
    there = kept(run, step)
    if there is not None and (not trials or (there.over, there.trials) == (over, trials)):
        return there
    dense = dense_run(run)
    run.checkpoint(step)  # which is told where it is gone, before anything takes long
    check_versions(run.key, run.environment())
    check_data(run, experiment)
    if experiment.dataset.is_multi_label:
        raise RunError(
            f"Samples of run {run.key} may have several labels, and damage is told by the one class that is answered. "
            f"Compare runs by prunebench compare, which tells what its scores lost."
        )
    setup = set_up(experiment, start_of(checkpoint.load(dense.checkpoint(0), experiment.model)), progress, stop)
    if there is None:
        there = _computed(setup, run, step, {"dense": (dense, 0), "pruned": (run, step)})
    shown = setup.task.shown("test", torch.tensor(most_lost(there, trials)[:SHOWN], dtype=torch.int64))
    record = msgspec.structs.replace(there, over=over, trials=trials, shown=tuple(shown))
    keep(run, record)
    return record


def dense_run(run: Run) -> Run:
    """The run that keeps the dense model which a pruning run comes from: itself, or the one that it started from.

    Raises:
        RunError: neither does.
    """
    if 0 in run.checkpoints():
        return run
    source = run.manifest.source
    try:
        dense = find(run.folder.parent, source) if source else None
    except RunError:
        dense = None
    if dense is None or 0 not in dense.checkpoints():
        raise RunError(
            f"The dense model that run {run.key} comes from is gone"
            + (f": no run {source} in {run.folder.parent} keeps it. " if source else ". ")
            + "The command of the run computes it again, with --fresh."
        )
    return dense


def _trials(run: Run, step: int, others: Sequence[Run]) -> tuple[Literal["seeds", "steps"], tuple[Trial, ...]]:
    """Answers of the runs of all seeds to the same step; where only one seed's are kept, those of the run's steps."""
    seeds = [run, *(other for other in others if other.key != run.key)]
    found = {_seed(of): trial for of in reversed(seeds) for trial in _of_steps(of, (step,), f"seed {_seed(of)}")}
    counts = {trial.dense.count for trial in found.values()}
    if len(found) > 1 and len(counts) == 1:
        return "seeds", tuple(found[seed] for seed in sorted(found))
    return "steps", tuple(_of_steps(run, run.steps(), ""))


def _seed(run: Run) -> int:
    seed: int = run.record(0).seed
    return seed


def _of_steps(run: Run, steps: Sequence[int], name: str) -> Iterator[Trial]:
    """A trial per pruned step whose answers are kept; none where those of the dense model are not."""
    try:
        dense = _test_answers(run, 0) or _test_answers(dense_run(run), 0)
    except RunError:
        return
    for step in steps:
        if step and step in run.steps() and (pruned := _test_answers(run, step)) and dense:
            yield Trial(name or f"step {step}", dense, pruned)


def _test_answers(run: Run, step: int) -> Bits | None:
    answers = run.answers(step)
    return None if answers is None else answers.parts.get("test")


def _computed(setup: Setup, run: Run, step: int, models: Mapping[str, tuple[Run, int]]) -> DamageRecord:
    """The answers of both models, and how many of each are others than were kept."""
    predictions: dict[str, Predictions] = {}
    otherwise: list[int | None] = []
    labels = b""
    for name, (of, at) in models.items():
        predicting = setup.predicted(checkpoint.load(of.checkpoint(at), setup.experiment.model))
        predictions[name], labels = predicting.predictions, predicting.labels
        right = np.frombuffer(predictions[name].answer, ANSWERS) == np.frombuffer(labels, ANSWERS)
        recorded = _test_answers(of, at)
        otherwise.append(None if recorded is None else int((flags(recorded) != right).sum()))
    first = run.record(step)
    settings = setup.experiment.settings
    kinds = {name: of.numpy().astype("<f4").tobytes() for name, of in setup.task.kinds("test").items()}
    return DamageRecord(
        run=run.key,
        model=reference(settings.model),
        dataset=reference(settings.dataset),
        method=first.method,
        criterion=first.criterion,
        seed=first.seed,
        step=step,
        files=files_of(run, step),
        classes=tuple(map(str, setup.dataset.classes)),
        labels=labels,
        kinds=kinds,
        over="steps",
        trials=(),
        shown=(),
        otherwise=(otherwise[0], otherwise[1]),
        dense=predictions["dense"],
        pruned=predictions["pruned"],
    )
