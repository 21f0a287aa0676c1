"""Tracked: trackers told of runs of an experiment that are finished, by commands that compute nothing of them."""

from __future__ import annotations

from prunebench.experiment.experiment import Experiment
from prunebench.runs.run import Run
from prunebench.tracking.telling import tell_finished


def epochs_of(run: Run, experiment: Experiment) -> int:
    """Epochs of the training in every step of a run."""
    if run.manifest.kind == "train":
        return int(str(run.manifest.config["epochs"]))
    return experiment.policy.recipe_of(experiment.settings).epochs


def tell_again(experiment: Experiment, *runs: Run) -> None:
    """Tell trackers of the finished steps of these runs that they were not told."""
    for run in runs if experiment.settings.track else ():
        tell_finished(experiment.settings.track, run, epochs_of(run, experiment))
