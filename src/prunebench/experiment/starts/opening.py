"""Opening: where the dense model of an experiment starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from prunebench.data.task import Task
from prunebench.errors import ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.bert import from_hub
from prunebench.experiment.starts.checkpoints import from_run, start_of
from prunebench.experiment.starts.files import from_file
from prunebench.experiment.starts.folder import from_folder
from prunebench.experiment.starts.library import from_library
from prunebench.experiment.starts.start import Start, fresh
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint


def open_start(experiment: Experiment) -> Start:
    """Where the dense model of an experiment starts from.

    Raises:
        ModelError: the weights cannot be read, or do not fit.
        DataError: they cannot be downloaded.
    """
    kind, run = experiment.origin.kind, experiment.origin.run
    if run is not None:
        return from_run(experiment, run) if run.steps() else _without_first_phase(experiment)
    if (folder := experiment.model.folder) is not None:
        return _checked(experiment, from_folder(experiment, folder))
    if kind == "none":
        return Start(None, None, lambda task: fresh(experiment, task, adapt=True))
    if kind == "hub":
        return _checked(experiment, from_hub(experiment))
    if kind == "published":
        return _checked(experiment, from_library(experiment))
    return _checked(experiment, from_file(experiment, Path(experiment.settings.weights)))


def _checked(experiment: Experiment, start: Start) -> Start:
    """The same start; with no epoch to train, `make` raises ModelError where a part of the model starts fresh."""

    def make(task: Task) -> Checkpoint:
        found = start.make(task)
        if found.fresh and not experiment.settings.epochs:
            layer = found.fresh[0].rpartition(".")[0]
            raise ModelError(
                f"Nothing is trained here, as with --epochs 0, but the layer {layer} would start fresh: "
                f"{experiment.settings.weights} has no classifier for these classes. Train it first: prunebench train "
                f"with --epochs 1, or more."
            )
        return found

    return replace(start, make=make)


def _without_first_phase(experiment: Experiment) -> Start:
    """As the dense model where that is there and its first phase is not; else where the first phase will start."""
    if experiment.dense.checkpoints():
        return start_of(checkpoint.load(experiment.dense.checkpoint(0), experiment.model))
    return open_start(experiment.phases[0])
