"""Harm: whether fine-tuning itself takes accuracy, told by what it trains on, and by a run that removes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from prunebench.errors import PrunebenchError
from prunebench.experiment.answers import unpacked
from prunebench.experiment.controls import without_removal
from prunebench.experiment.experiment import Experiment
from prunebench.records import Answers
from prunebench.runs.run import Run
from prunebench.statistics import mcnemar

LEAST = 0.01
"""Share of answers that is lost at least where it is told."""

SURE = 0.01
"""It is told where so many answers, or more, are lost by chance this often at most (McNemar 1947)."""

REMEDY = "a lower --finetune-lr, or more --finetune-updates, may do less"


def fine_tunes(experiment: Experiment) -> bool:
    """Whether a pruned model is trained by the settings of fine-tuning, which REMEDY names."""
    return experiment.policy.tunes(experiment.settings.epochs)


def of_training(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> str:
    """What to say where fine-tuning has lost answers to the very samples that it trains on; empty where it has not.

    Args:
        before: which samples are answered rightly once a model is pruned, bool, by part of the data; may lack parts.
        after: the same once it is fine-tuned.
    """
    if "train" not in before or not (told := _lost(before["train"], after["train"])):
        return ""
    return f"fine-tuning did harm: of the samples that it trains on {told}; {REMEDY}"


def of_control(experiment: Experiment) -> str:
    """What to say where the first step of the run's control, if that is there, has lost answers; else empty.

    Nothing is trained for it: a control is a run of `--method none`, which studies make. Of one that keeps records
    alone it is not known which answers were lost.
    """
    if not (experiment.method.removes and fine_tunes(experiment)):
        return ""
    if not any(Path(experiment.settings.runs_dir).glob("*-none-*")):
        return ""
    try:
        run = without_removal(experiment).run
        dense, trained = _of_test(run, 0), _of_test(run, 1)
    except PrunebenchError:  # of what is not whole, nothing is told here
        return ""
    if dense is None or trained is None or not (told := _lost(dense, trained)):
        return ""
    return f"fine-tuning itself does harm: in run {run.key}, of which nothing is removed, {told} of test data; {REMEDY}"


def _of_test(run: Run, step: int) -> torch.Tensor | None:
    answers: Answers | None = run.answers(step) if step in run.steps() else None
    return None if answers is None or "test" not in answers.parts else unpacked(answers.parts["test"])


def _lost(before: torch.Tensor, after: torch.Tensor) -> str:
    """`98.3 % were answered rightly before it, and 82.2 % after`; empty where that may be chance, or is little."""
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    if (lost - gained) / max(1, len(before)) < LEAST or mcnemar(lost, gained) > SURE:
        return ""
    was, now = (f"{100 * float(each.double().mean()):.1f} %" for each in (before, after))
    return f"{was} were answered rightly before, and {now} after"
