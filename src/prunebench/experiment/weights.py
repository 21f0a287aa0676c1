"""Where a run starts from: fresh weights, published ones, a file, or another run."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import nn

from prunebench.data.dataset import about_to_download
from prunebench.data.images import IMAGENET, Statistics
from prunebench.data.task import Task
from prunebench.errors import DataError, ModelError
from prunebench.experiment.resolve import Experiment
from prunebench.models import checkpoint
from prunebench.models.architecture import Architecture, asks_for, given_arguments
from prunebench.models.checkpoint import Checkpoint
from prunebench.registry import reference, without_folder
from prunebench.runs.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What must be known before the data is prepared, and how to make the model once the data is there."""

    tokenizer: Tokenizer | None
    statistics: Statistics | None
    make: Callable[[Task], Checkpoint]
    notes: tuple[str, ...] = ()


def open_start(experiment: Experiment) -> Start:
    """Where the dense model of an experiment starts from.

    Raises:
        ModelError: the weights cannot be read, or do not fit.
        DataError: they cannot be downloaded.
    """
    kind, run = experiment.origin.kind, experiment.origin.run
    if run is not None:
        return _from_run(experiment, run) if run.steps() else _without_first_phase(experiment)
    if kind == "hub":
        return _from_hub(experiment)
    if kind == "none":
        return Start(None, None, lambda task: _build(experiment, task, adapt=True))
    statistics = IMAGENET if experiment.model.reads != "text" else None
    if kind == "imagenet":
        return Start(None, statistics, lambda task: _published(experiment, task))
    path = Path(experiment.settings.weights)
    state = checkpoint.read_weights(path)
    return Start(None, statistics, lambda task: _from_state(experiment, task, state, str(path)))


def _build(experiment: Experiment, task: Task, *, adapt: bool, shape: dict[str, Any] | None = None) -> Checkpoint:
    """Fresh weights from torch's global generator; `shape` is transformers' configuration."""
    inputs = task.inputs
    text = {"vocab_size": inputs.vocabulary} if inputs.kind == "text" else {}
    arguments = {
        **task.objective.arguments,
        "channels": inputs.channels,
        "image_size": inputs.size,
        "adapt": adapt,
        "config": {**text, **(shape or {})},
        **(text if asks_for(experiment.model, "vocab_size") else {}),
        "given": given_arguments(experiment.settings.model_arg),
    }
    architecture = Architecture(reference(experiment.settings.model), arguments, inputs)
    tokenizer = getattr(task, "tokenizer", None)
    return Checkpoint(
        architecture,
        architecture.build(experiment.model),
        {},
        tokenizer.to_str() if tokenizer is not None else None,
    )


def _published(experiment: Experiment, task: Task) -> Checkpoint:
    """torchvision's ImageNet weights, version 1 (those of the papers)."""
    from torchvision.models import get_model_weights

    name = experiment.model.name
    weights = get_model_weights(name).IMAGENET1K_V1
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name).exists():
        about_to_download(f"ImageNet's weights of {name}")
    try:
        state = weights.get_state_dict(weights_only=True, progress=False)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"torchvision's weights of {name} could not be downloaded ({error}). Connect to the network, "
            f"or give a copy with --weights FILE.pth."
        ) from error
    return _from_state(experiment, task, state, "ImageNet's weights")


def _from_state(experiment: Experiment, task: Task, state: dict[str, torch.Tensor], name: str) -> Checkpoint:
    """Weights of the published architecture, or of the one that is adapted to small images, whichever fits."""
    tried = _build(experiment, task, adapt=False)
    problem = fill(tried.model, state)
    if problem:
        adapted = _build(experiment, task, adapt=True)
        if fill(adapted.model, state):
            raise ModelError(f"{name} does not fit {experiment.settings.model}: {problem}.")
        tried = adapted
    return tried


def fill(model: nn.Module, state: dict[str, torch.Tensor]) -> str | None:
    """Copy weights into a model; the output layer stays fresh where the number of classes differs.

    Returns what does not fit, in which case nothing was copied.
    """
    own = model.state_dict()
    head = [name for name in own if name.rpartition(".")[0] == _last_layer(model)]
    fresh = [name for name in head if name in state and state[name].shape != own[name].shape]
    for name in own:
        if name not in state and not name.endswith("num_batches_tracked"):
            return f"{name} is missing"
        if name in state and name not in fresh and state[name].shape != own[name].shape:
            return f"{name} has shape {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
    if unknown := [name for name in state if name not in own]:
        return f"{unknown[0]} is not part of the model"
    if any(state[name].ndim == 0 or state[name].shape[1:] != own[name].shape[1:] for name in fresh):
        return f"{fresh[0]} has shape {tuple(state[fresh[0]].shape)} instead of {tuple(own[fresh[0]].shape)}"
    if fresh:
        log.info("%s starts fresh, since the weights have another number of classes", _last_layer(model))
    model.load_state_dict({name: tensor for name, tensor in state.items() if name not in fresh}, strict=False)
    return None


def _last_layer(model: nn.Module) -> str:
    names = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return str(names[-1])


def _from_hub(experiment: Experiment) -> Start:
    """A model of Hugging Face, by name or from a local folder, with its own tokenizer; no code of theirs is run."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
    from transformers.utils import logging as transformers_logging

    name = experiment.settings.weights
    if not Path(name).is_dir():
        about_to_download(f"{name} of Hugging Face (unless it is in the cache)")
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are no news
    try:
        settings = BertConfig.from_pretrained(name)
        if settings.model_type != "bert":
            raise ModelError(f"--weights {name} is a {settings.model_type} model, not BERT.")
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False).backend_tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"--weights {name} is no run, no local folder of a BERT model, and could not be had from Hugging Face "
            f"({type(error).__name__}). Check the name, connect to the network, or give a local folder."
        ) from error

    def make(task: Task) -> Checkpoint:
        differing = {
            key: value
            for key, value in settings.to_diff_dict().items()
            if key not in ("architectures", "dtype", "transformers_version", "id2label", "label2id", "num_labels")
            and not key.startswith("_")
        }
        full = {key: getattr(settings, key) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
        full |= {key: getattr(settings, key) for key in ("intermediate_size", "max_position_embeddings", "vocab_size")}
        start = _build(experiment, task, adapt=False, shape={**differing, **full})
        loaded = BertForSequenceClassification.from_pretrained(
            name, num_labels=task.objective.arguments["classes"], ignore_mismatched_sizes=True, trust_remote_code=False
        )
        start.model.load_state_dict(loaded.state_dict())
        return start

    return Start(tokenizer, None, make)


def _without_first_phase(experiment: Experiment) -> Start:
    """As the dense model where that is there and its first phase is not; else where the first phase will start."""
    if experiment.dense.checkpoints():
        return start_of(checkpoint.load(experiment.dense.checkpoint(0), experiment.model))
    return open_start(experiment.phases[0])


def _from_run(experiment: Experiment, run: Run) -> Start:
    """The last step of another run of the same model, its masks included."""
    mine, other = reference(experiment.settings.model), str(run.manifest.config["model"])
    if without_folder(mine) != without_folder(other):
        raise ModelError(f"--weights {experiment.settings.weights} is a {other}, not a {mine}.")
    return start_of(checkpoint.load(run.checkpoint(run.steps()[-1]), experiment.model))


def start_of(found: Checkpoint) -> Start:
    """A start from a checkpoint, with its own tokenizer and normalisation."""
    from tokenizers import Tokenizer

    inputs, arguments = found.architecture.inputs, found.architecture.arguments

    def make(task: Task) -> Checkpoint:
        for name, has in task.objective.arguments.items():
            if arguments[name] != has:
                raise ModelError(f"The weights know {arguments[name]} {name}, but the data has {has}.")
        architecture = msgspec.structs.replace(found.architecture, inputs=task.inputs)
        return replace(found, architecture=architecture, model=copy.deepcopy(found.model))

    tokenizer = Tokenizer.from_str(found.tokenizer) if found.tokenizer is not None else None
    return Start(tokenizer, (inputs.mean, inputs.std) if inputs.kind == "images" else None, make)
