"""Weights that a library has of its own models, and what it prepares otherwise than is done here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from prunebench.data.dataset import about_to_download
from prunebench.data.task import Task
from prunebench.errors import DataError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.files import from_state
from prunebench.experiment.starts.start import Start
from prunebench.models.architecture import Published
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.weight_files import WeightFile

CROP = 7 / 8
"""Share of the resized shorter side that is left where pictures are cropped (see `data.resizing`)."""


def from_library(experiment: Experiment) -> Start:
    """The weights that `--weights` names of a library's model, or of a registered one that a library has too."""
    published = experiment.model.published[experiment.settings.weights]
    return Start(None, published.statistics(), partial(_loaded, experiment, published))


def _loaded(experiment: Experiment, weights: Published, task: Task) -> Checkpoint:
    """The weights that a library has of the model."""
    if not weights.here():
        about_to_download(weights.called)
    try:
        state = weights.load()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{weights.called}: they could not be had ({error}). Connect to the network, or give a copy with "
            f"--weights FILE.pth."
        ) from error
    found = from_state(experiment, task, WeightFile(dict(state)), weights.called, published=True)
    return replace(found, notes=(*found.notes, *_prepared_otherwise(experiment, weights)))


def _prepared_otherwise(experiment: Experiment, weights: Published) -> Iterator[str]:
    """How a library prepares pictures in files, where that is not what is done to them here."""
    if weights.evaluation is None or experiment.dataset.kind != "files":
        return
    share, interpolation = weights.evaluation()
    if abs(share - CROP) > 0.005 or interpolation != "bilinear":
        yield (
            f"its library scores these weights on images whose shorter side is resized ({interpolation}) so that the "
            f"centre is {share:.3g} of it; here files are resized as --resize says (crop: {CROP:g}), bilinear"
        )
