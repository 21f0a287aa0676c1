"""Weight files to start from: those of others, and those that `prunebench export` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from prunebench.data.images import IMAGENET
from prunebench.data.task import Task
from prunebench.errors import ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.checkpoints import start_of
from prunebench.experiment.starts.start import Start, fresh
from prunebench.models import checkpoint, fitting, weight_files
from prunebench.models.architecture import models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.normalisation import Statistics, statistics_of
from prunebench.models.weight_files import WeightFile
from prunebench.registry import reference, without_folder


def from_file(experiment: Experiment, path: Path) -> Start:
    """Weights of a file. Images are normalised as it says, else as the model or its library says, else as ImageNet's
    are."""
    file = weight_files.read_weights(path)
    if file.structure is not None:
        return from_export(experiment, path, file, file.structure)
    images = experiment.model.reads != "text"
    found = file.statistics if images else None
    library = experiment.model.published.get("default") if images and found is None else None
    usual = IMAGENET if library is None else library.statistics()

    def make(task: Task) -> Checkpoint:
        state = from_state(experiment, task, file, str(path))
        if task.inputs.kind != "images":
            return state
        used = task.inputs.mean, task.inputs.std
        whose = "as ImageNet's, since neither the file nor the model says how; --mean and --std set others"
        if experiment.settings.mean is not None:
            whose = "as --mean and --std say"
        elif found is not None:
            whose = "as the weights' own files say"
        elif experiment.model.library is not None:
            whose = "as the model's library says"
        elif used != IMAGENET:
            whose = "as the model's pretrained_cfg says"
        return replace(state, notes=(*state.notes, f"images are normalised {whose}"))

    def told_by_model(task: Task) -> Statistics | None:
        named = found is not None or models.known(experiment.settings.model) is not None
        return None if named else statistics_of(fresh(experiment, task, adapt=False).model)

    return Start(None, (found or usual) if images else None, make, told_by_model)


def from_export(experiment: Experiment, path: Path, file: WeightFile, structure: str) -> Start:
    """The model of a file of `prunebench export`: in the shape that it has there, with its own tokenizer and
    normalisation. Only of a model that has lost nothing the classifier may start fresh.

    Raises:
        ModelError: it is another model.
        RunError: the file is damaged, or its weights do not fit the model.
    """
    mine, other = reference(experiment.settings.model), checkpoint.model_of(structure)
    if other is not None and without_folder(mine) != without_folder(other):
        raise ModelError(f"--weights {path} is a {other}, not a {mine}.")
    tensors, masks, unmasked = fitting.merged(file.tensors, {})
    found = checkpoint.assemble(
        structure.encode(), dict(tensors), masks, file.tokenizer, entry=experiment.model, name=str(path)
    )
    start, notes = start_of(found), (*file.notes, *unmasked, *fitting.zeros_told(found.model, tensors, masks))

    def make(task: Task) -> Checkpoint:
        try:
            state = start.make(task)
        except ModelError as problem:
            try:
                state = from_state(experiment, task, file, str(path))
            except ModelError:
                raise problem from None
        return replace(state, notes=(*notes, *state.notes))

    return replace(start, make=make)


def from_state(
    experiment: Experiment, task: Task, file: WeightFile, name: str, *, published: bool = False
) -> Checkpoint:
    """Weights of the published architecture, or of the one that is adapted to small images, whichever fits."""
    library = experiment.model.library
    heads = library.heads() if library is not None else ()
    tried = fresh(experiment, task, adapt=False, published=published)
    if library is not None:
        file = fitting.without_auxiliary(file, tried.model, library.auxiliary)
    try:
        return filled(tried, file, heads)
    except ModelError as problem:
        adapted = fresh(experiment, task, adapt=True, published=published)
        try:
            return filled(adapted, file, heads)
        except ModelError:
            hint = experiment.model.hint(task.inputs.size) if task.inputs.kind == "images" else ""
            raise ModelError(f"{name} does not fit {reference(experiment.settings.model)}: {problem}.{hint}") from None


def filled(state: Checkpoint, file: WeightFile, heads: Sequence[str] = ()) -> Checkpoint:
    """A checkpoint with the weights of a file in its model; the output layer stays fresh where the classes differ.

    `heads` are the modules that are the output layer, where they are known.

    Raises:
        ModelError: they do not fit, and nothing was copied.
    """
    found = fitting.fitted(state.model, file, state.architecture.arguments.get("classes"), heads)
    state.model.load_state_dict(found.tensors, strict=False)
    if found.tells_masks:  # in the place of those that the builder has put in
        return replace(state, masks=found.masks, notes=found.notes, fresh=found.fresh)
    with torch.no_grad():
        for name, mask in state.masks.items():
            state.model.get_parameter(name).masked_fill_(~mask, 0)
    return replace(state, notes=(*state.notes, *found.notes), fresh=found.fresh)
