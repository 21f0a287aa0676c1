"""Start: what must be known before the data is prepared, and how the model is made then; here of fresh weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunebench.data.task import Task
from prunebench.experiment.experiment import Experiment
from prunebench.models.architecture import Architecture, asks_for, given_arguments
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.input_spec import InputSpec
from prunebench.models.normalisation import Statistics
from prunebench.models.taken_over import told
from prunebench.registry import reference

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Start:
    """What must be known before the data is prepared, and how to make the model once the data is there.

    Attributes:
        tokenizer: of the weights; None where one is trained.
        statistics: that images are normalised with; None takes the data's own.
        make: for a task, the model with its weights.
        told: for a task, statistics that the model itself tells, which come before `statistics`.
    """

    tokenizer: Tokenizer | None
    statistics: Statistics | None
    make: Callable[[Task], Checkpoint]
    told: Callable[[Task], Statistics | None] = lambda task: None


def fresh(
    experiment: Experiment, task: Task, *, adapt: bool, shape: Mapping[str, Any] | None = None, published: bool = False
) -> Checkpoint:
    """The model with fresh weights from torch's global generator; arguments as of `architecture_of`."""
    known = task.objective.arguments
    about = architecture_of(experiment, task.inputs, known, adapt=adapt, shape=shape, published=published)
    tokenizer = getattr(task, "tokenizer", None)
    model, masks = about.build_masked(experiment.model)
    return Checkpoint(
        about,
        model,
        masks,
        tokenizer.to_str() if tokenizer is not None else None,
        notes=(told(masks),) if masks else (),
    )


def architecture_of(
    experiment: Experiment,
    inputs: InputSpec,
    known: Mapping[str, Any],
    *,
    adapt: bool,
    shape: Mapping[str, Any] | None = None,
    published: bool = False,
) -> Architecture:
    """The model of an experiment as data.

    Args:
        experiment: whose model it is.
        inputs: what it reads.
        known: arguments that the data decides, such as `classes`.
        adapt: whether its shape may follow a small input.
        shape: transformers' configuration.
        published: whether the library's weights will be loaded.
    """
    entry = experiment.model
    text = {"vocab_size": inputs.vocabulary} if inputs.kind == "text" else {}
    arguments = {
        **known,
        "channels": inputs.channels,
        "image_size": inputs.size,
        "adapt": adapt,
        "config": {**text, **(shape or {})},
        **(text if asks_for(entry, "vocab_size") else {}),
        **({"published": published} if asks_for(entry, "published") else {}),
        "given": given_arguments(experiment.settings.model_arg),
    }
    return Architecture(reference(experiment.settings.model), arguments, inputs, experiment.settings.output)
