"""Usable: what can be checked of the data before anything is said of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prunebench.data.survey import survey
from prunebench.errors import Stopped
from prunebench.experiment.checks import check_fit
from prunebench.experiment.dataset import used
from prunebench.experiment.experiment import Experiment
from prunebench.training.fit import Progress, Stop, Tick


def check_usable(experiment: Experiment, progress: Progress) -> None:
    """Check what can be checked of the data without the model; image files are opened, which is remembered.

    Raises:
        DataError: it is missing or malformed.
        ConfigError: too little is left of it, or the model cannot read this kind of data.
    """
    dataset, settings = used(experiment.dataset, experiment.settings), experiment.settings
    check_fit(experiment, dataset.kind)
    if dataset.kind == "files":
        paths = [path for split in dataset.splits.values() for path in split.inputs]
        told, place = opening(progress, lambda: False), Path(settings.data_dir)
        survey(paths, data_dir=place, runs_dir=settings.runs_dir, workers=settings.workers, told=told)


def opening(progress: Progress, stop: Stop) -> Callable[[int, int], None]:
    """What is to be told how many image files of how many were opened."""

    def opened(done: int, total: int) -> None:
        progress(Tick("check images", 0, 0, 1, done, total, None, "", 0.0))
        if stop():
            raise Stopped(f"Stopped after {done} of {total} images were checked.")

    return opened
