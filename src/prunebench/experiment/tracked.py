"""Tracked: trackers told of runs of an experiment that are finished, by commands that compute nothing of them."""

from __future__ import annotations

from prunebench.experiment.dataset import used
from prunebench.experiment.experiment import Experiment
from prunebench.runs.run import Run
from prunebench.tracking.telling import tell_finished


def epochs_of(run: Run, experiment: Experiment) -> int:
    """Epochs of the training in every step of a run: of fine-tuning as many as its updates take."""
    if run.manifest.kind == "train":
        return int(str(run.manifest.config["epochs"]))
    recipe = experiment.policy.recipe_of(experiment.settings)
    return recipe.over(_samples(run, experiment)).epochs if recipe.updates else recipe.epochs


def _samples(run: Run, experiment: Experiment) -> int:
    """Training samples of a run, as its first step has counted them; of one that has none yet, those of the data."""
    summary = run.record(0).summary if 0 in run.steps() else None
    if summary is not None:
        return summary.parts["train"].samples
    return len(used(experiment.dataset, experiment.settings).train)


def tell_again(experiment: Experiment, *runs: Run) -> None:
    """Tell trackers of the finished steps of these runs that they were not told."""
    for run in runs if experiment.settings.track else ():
        if run.steps():
            tell_finished(experiment.settings.track, run, epochs_of(run, experiment))
