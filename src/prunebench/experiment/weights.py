"""Where a run starts from: fresh weights, published ones, a file, or another run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import torch

from prunebench.data.dataset import about_to_download
from prunebench.data.images import IMAGENET
from prunebench.data.task import Task
from prunebench.errors import DataError, ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.of_folder import config_of_weights, prepare
from prunebench.models import checkpoint, fitting, hub, weight_files
from prunebench.models.architecture import Architecture, Published, asks_for, given_arguments, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.folders import Folder
from prunebench.models.input_spec import InputSpec
from prunebench.models.normalisation import Statistics, statistics_of
from prunebench.models.outputs import Choice, choose
from prunebench.models.quiet import quiet
from prunebench.models.taken_over import copied, told
from prunebench.models.weight_files import WeightFile
from prunebench.registry import reference, without_folder
from prunebench.runs.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

CROP = 7 / 8
"""Share of the resized shorter side that is left where pictures are cropped (see `data.resizing`)."""


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


def open_start(experiment: Experiment) -> Start:
    """Where the dense model of an experiment starts from.

    Raises:
        ModelError: the weights cannot be read, or do not fit.
        DataError: they cannot be downloaded.
    """
    kind, run = experiment.origin.kind, experiment.origin.run
    if run is not None:
        return _from_run(experiment, run) if run.steps() else _without_first_phase(experiment)
    if (folder := experiment.model.folder) is not None:
        return _checked(experiment, _of_transformers(experiment, folder))
    if kind == "hub":
        return _checked(experiment, _from_hub(experiment))
    if kind == "none":
        return Start(None, None, lambda task: _build(experiment, task, adapt=True))
    if kind == "published":
        published = experiment.model.published[experiment.settings.weights]
        return _checked(experiment, Start(None, published.statistics(), partial(_published, experiment, published)))
    return _checked(experiment, _from_file(experiment, Path(experiment.settings.weights)))


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


def _from_file(experiment: Experiment, path: Path) -> Start:
    """Weights of a file. Images are normalised as it says, else as the model or its library says, else as ImageNet's
    are."""
    file = weight_files.read_weights(path)
    if file.structure is not None:
        return _from_export(experiment, path, file, file.structure)
    images = experiment.model.reads != "text"
    found = file.statistics if images else None
    library = experiment.model.published.get("default") if images and found is None else None
    usual = IMAGENET if library is None else library.statistics()

    def make(task: Task) -> Checkpoint:
        state = _from_state(experiment, task, file, str(path))
        if task.inputs.kind != "images":
            return state
        used = task.inputs.mean, task.inputs.std
        whose = "as ImageNet's, since neither the file nor the model says how; --mean and --std set others"
        if experiment.settings.mean is not None:
            whose = "as --mean and --std say"
        elif found is not None:
            whose = "as the weights' own files say"
        elif experiment.model.made_for is not None:
            whose = "as the model's library says"
        elif used != IMAGENET:
            whose = "as the model's pretrained_cfg says"
        return replace(state, notes=(*state.notes, f"images are normalised {whose}"))

    def told_by_model(task: Task) -> Statistics | None:
        named = found is not None or models.known(experiment.settings.model) is not None
        return None if named else statistics_of(_build(experiment, task, adapt=False).model)

    return Start(None, (found or usual) if images else None, make, told_by_model)


def _from_export(experiment: Experiment, path: Path, file: WeightFile, structure: str) -> Start:
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
                state = _from_state(experiment, task, file, str(path))
            except ModelError:
                raise problem from None
        return replace(state, notes=(*notes, *state.notes))

    return replace(start, make=make)


def _of_transformers(experiment: Experiment, folder: Folder) -> Start:
    """A model of transformers by its folder, or by the one that its weights are of."""
    kind, weights = experiment.origin.kind, experiment.settings.weights
    source = None
    if kind in ("published", "hub"):
        source = folder if kind == "published" else Folder(weights)
    prepared = prepare(experiment, folder, source)

    def fresh(task: Task) -> Checkpoint:
        found = _build(experiment, task, adapt=False, shape=prepared.config)
        return replace(found, notes=(*found.notes, *prepared.notes))

    def loaded(task: Task) -> Checkpoint:
        start, about = fresh(task), cast(Folder, source)
        classes = task.objective.arguments["classes"]
        settings = config_of_weights(about, prepared.config, classes, task.inputs.size)
        found = hub.read(str(about.place), start.model, classes, settings)
        start.model.load_state_dict(found.tensors)
        return replace(start, masks=found.masks, notes=(*start.notes, *found.notes), fresh=found.fresh)

    if kind == "file":
        file = weight_files.read_weights(Path(weights))
        if file.structure is not None:
            return _from_export(experiment, Path(weights), file, file.structure)
        return Start(
            prepared.tokenizer,
            (file.statistics or prepared.statistics or IMAGENET) if experiment.model.reads == "images" else None,
            lambda task: filled(fresh(task), file),
        )
    return Start(prepared.tokenizer, prepared.statistics, loaded if source is not None else fresh)


def _build(
    experiment: Experiment, task: Task, *, adapt: bool, shape: Mapping[str, Any] | None = None, published: bool = False
) -> Checkpoint:
    """Fresh weights from torch's global generator; `shape` is transformers' configuration, and `published` says whether
    the library's weights will be loaded."""
    inputs = task.inputs
    text = {"vocab_size": inputs.vocabulary} if inputs.kind == "text" else {}
    arguments = {
        **task.objective.arguments,
        "channels": inputs.channels,
        "image_size": inputs.size,
        "adapt": adapt,
        "config": {**text, **(shape or {})},
        **(text if asks_for(experiment.model, "vocab_size") else {}),
        **({"published": published} if asks_for(experiment.model, "published") else {}),
        "given": given_arguments(experiment.settings.model_arg),
    }
    architecture = Architecture(reference(experiment.settings.model), arguments, inputs, experiment.settings.output)
    tokenizer = getattr(task, "tokenizer", None)
    model, masks = architecture.build_masked(experiment.model)
    return Checkpoint(
        architecture,
        model,
        masks,
        tokenizer.to_str() if tokenizer is not None else None,
        notes=(told(masks),) if masks else (),
    )


def _published(experiment: Experiment, weights: Published, task: Task) -> Checkpoint:
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
    found = _from_state(experiment, task, WeightFile(dict(state)), weights.called, published=True)
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


def _from_state(
    experiment: Experiment, task: Task, file: WeightFile, name: str, *, published: bool = False
) -> Checkpoint:
    """Weights of the published architecture, or of the one that is adapted to small images, whichever fits."""
    heads = experiment.model.heads()
    tried = _build(experiment, task, adapt=False, published=published)
    file = fitting.without_auxiliary(file, tried.model, experiment.model.auxiliary)
    try:
        return filled(tried, file, heads)
    except ModelError as problem:
        adapted = _build(experiment, task, adapt=True, published=published)
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


def _from_hub(experiment: Experiment) -> Start:
    """A model of Hugging Face, by name or from a local folder, with its own tokenizer; no code of theirs is run."""
    from transformers import AutoTokenizer, BertConfig

    name = experiment.settings.weights
    local = Path(name).is_dir()
    if not local:
        about_to_download(f"{name} of Hugging Face (unless it is in the cache)")
    elif missing := _missing_in(Path(name)):
        raise ModelError(f"--weights {name} has no {missing}. Give the whole folder of a BERT model.")
    else:
        hub.check_folder(Path(name))
    try:
        with quiet():
            settings = BertConfig.from_pretrained(name)
            if settings.model_type != "bert":
                raise ModelError(f"--weights {name} is a {settings.model_type} model, not BERT.")
            found = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        tokenizer, special = found.backend_tokenizer, set(found.all_special_tokens)
        tokenizer.no_padding()
    except ModelError:
        raise
    except Exception as error:  # transformers raises whatever the files lead it to
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        if local:
            raise ModelError(f"--weights {name}: its config or its tokenizer cannot be read: {reason}.") from error
        raise ModelError(
            f"--weights {name} is no run, no local folder of a BERT model, and could not be had from Hugging Face "
            f"({type(error).__name__}). Check the name, connect to the network, or give a local folder."
        ) from error
    if tokenizer.get_vocab_size() > settings.vocab_size or not set(tokenizer.get_vocab()) - special:
        raise ModelError(
            f"--weights {name}: its tokenizer knows {tokenizer.get_vocab_size()} tokens, {len(special)} of them "
            f"special, and its weights {settings.vocab_size}, so they do not belong together."
        )
    if (longest := settings.max_position_embeddings) < experiment.settings.sequence_length:
        raise ModelError(f"--weights {name} reads at most {longest} tokens: give --sequence-length {longest}, or less.")

    if getattr(settings, "quantization_config", None):
        raise ModelError(f"--weights {name} is quantised. Give the weights as they were before they were quantised.")

    known, all_tokens = tokenizer.get_vocab_size(), settings.vocab_size
    unknown = [f"their tokenizer knows {known:,} of their {all_tokens:,} tokens"] * (known < all_tokens)

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
        loaded = hub.read(name, start.model, task.objective.arguments["classes"])
        start.model.load_state_dict(loaded.tensors)
        return replace(start, masks=loaded.masks, notes=(*loaded.notes, *unknown), fresh=loaded.fresh)

    return Start(tokenizer, None, make)


def _missing_in(folder: Path) -> str:
    """What a folder of a model lacks that transformers would make up."""
    tokenizers = ("tokenizer.json", "vocab.txt")
    if not (folder / "config.json").is_file():
        return "config.json"
    has_tokenizer = any((folder / file).is_file() for file in tokenizers)
    return "" if has_tokenizer else f"tokenizer: neither {' nor '.join(tokenizers)}"


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
    found = checkpoint.load(run.checkpoint(run.steps()[-1]), experiment.model)
    architecture = msgspec.structs.replace(found.architecture, output=experiment.settings.output)
    choose(found.model, Choice(architecture.output, architecture.arguments.get("classes")))
    return start_of(replace(found, architecture=architecture))


def start_of(found: Checkpoint) -> Start:
    """A start from a checkpoint, with its own tokenizer and normalisation."""
    inputs, arguments = found.architecture.inputs, found.architecture.arguments

    def make(task: Task) -> Checkpoint:
        for name, has in task.objective.arguments.items():
            if arguments[name] != has:
                raise ModelError(
                    f"The weights know {arguments[name]} {name}, but the data has {has}. A run goes on with its own "
                    f"{name} alone: to train a fresh classifier, give the model.safetensors of its step 0 as a file."
                )
        architecture = msgspec.structs.replace(found.architecture, inputs=task.inputs)
        return replace(found, architecture=architecture, model=copied(found.model))

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
