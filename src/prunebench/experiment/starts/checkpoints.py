"""Checkpoints to start from: a step of a run, with its own tokenizer and normalisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from prunebench.data.task import Task
from prunebench.errors import ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.start import Start
from prunebench.models import checkpoint
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.models.normalisation import Statistics
from prunebench.models.outputs import Choice, choose
from prunebench.models.taken_over import copied
from prunebench.registry import reference, without_folder
from prunebench.runs.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def from_run(experiment: Experiment, run: Run) -> Start:
    """The last step of another run of the same model, its masks included."""
    mine, other = reference(experiment.settings.model), str(run.manifest.config["model"])
    if without_folder(mine) != without_folder(other):
        raise ModelError(f"--weights {experiment.settings.weights} is a {other}, not a {mine}.")
    found = checkpoint.load(run.checkpoint(run.steps()[-1]), experiment.model)
    architecture = msgspec.structs.replace(found.architecture, output=experiment.settings.output)
    choose(found.model, Choice(architecture.output, architecture.arguments.get("classes")))
    return start_of(replace(found, architecture=architecture))


def start_of(found: Checkpoint) -> Start:
    """A start from a checkpoint, with its own tokenizer and normalisation. Its models are on the CPU, wherever that of
    the checkpoint has gone."""
    inputs, arguments = found.architecture.inputs, found.architecture.arguments

    def make(task: Task) -> Checkpoint:
        for name, has in task.objective.arguments.items():
            if arguments[name] != has:
                raise ModelError(
                    f"The weights know {arguments[name]} {name}, but the data has {has}. A run goes on with its own "
                    f"{name} alone: to train a fresh classifier, give the model.safetensors of its step 0 as a file."
                )
        architecture = msgspec.structs.replace(found.architecture, inputs=task.inputs)
        return replace(found, architecture=architecture, model=copied(found.model).cpu())

    return Start(*_prepared_as(inputs, found.tokenizer), make)


def start_in(folder: Path, experiment: Experiment) -> Start:
    """A start from the folder of a checkpoint, as `start_of`; its weights are read when they are asked for."""
    known = _prepared_as(*checkpoint.inputs_of(folder))
    return Start(*known, lambda task: start_of(checkpoint.load(folder, experiment.model)).make(task))


def as_kept(start: Start, folder: Path) -> Start:
    """A start whose data is prepared as for the checkpoint in a folder, whatever is trained or counted anew."""
    tokenizer, statistics = _prepared_as(*checkpoint.inputs_of(folder))
    return Start(tokenizer, statistics, start.make)


def _prepared_as(inputs: InputSpec, tokenizer: str | None) -> tuple[Tokenizer | None, Statistics | None]:
    """The tokenizer and the normalisation of a checkpoint."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_str(tokenizer) if tokenizer is not None else None
    return found, (inputs.mean, inputs.std) if inputs.kind == "images" else None
