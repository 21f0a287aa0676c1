"""Models of transformers by their folder: what it says of data and shape before these are there, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prunebench.data.dataset import about_to_download
from prunebench.data.images import IMAGENET
from prunebench.data.task import Task
from prunebench.errors import ConfigError, ModelError
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.starts.files import filled, from_export
from prunebench.experiment.starts.start import Start, fresh
from prunebench.models import configs, hub, weight_files
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.folders import Folder
from prunebench.models.normalisation import Statistics

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Prepared:
    """What is known of a model of transformers before its data is.

    Attributes:
        config: that it is built by (see `configs`); without `vocab_size` where the data decides that.
        tokenizer: the folder's, which pads as the model expects it; None where one is learnt of the data, or of images.
        statistics: that images are normalised with; None takes the data's own.
        notes: what was decided that the folder does not say.
    """

    config: Mapping[str, Any]
    tokenizer: Tokenizer | None = None
    statistics: Statistics | None = None
    notes: tuple[str, ...] = ()


def from_folder(experiment: Experiment, folder: Folder) -> Start:
    """A model of transformers by its folder, or by the one that its weights are of."""
    kind, weights = experiment.origin.kind, experiment.settings.weights
    source = None
    if kind in ("published", "hub"):
        source = folder if kind == "published" else Folder(weights)
    prepared = prepare(experiment, folder, source)

    def untrained(task: Task) -> Checkpoint:
        found = fresh(experiment, task, adapt=False, shape=prepared.config)
        return replace(found, notes=(*found.notes, *prepared.notes))

    def loaded(task: Task) -> Checkpoint:
        start, about = untrained(task), cast(Folder, source)
        classes = task.objective.arguments["classes"]
        settings = _config_of_weights(about, prepared.config, classes, task.inputs.size)
        found = hub.read(str(about.place), start.model, classes, settings)
        start.model.load_state_dict(found.tensors)
        return replace(start, masks=found.masks, notes=(*start.notes, *found.notes), fresh=found.fresh)

    if kind == "file":
        file = weight_files.read_weights(Path(weights))
        if file.structure is not None:
            return from_export(experiment, Path(weights), file, file.structure)
        return Start(
            prepared.tokenizer,
            (file.statistics or prepared.statistics or IMAGENET) if experiment.model.reads == "images" else None,
            lambda task: filled(untrained(task), file),
        )
    return Start(prepared.tokenizer, prepared.statistics, loaded if source is not None else untrained)


def prepare(experiment: Experiment, model: Folder, weights: Folder | None) -> Prepared:
    """What the folder of a model says, or that of its weights, which has been trained with what it says.

    Args:
        experiment: what is to be done.
        model: what the model is named by.
        weights: where weights are loaded from, which are downloaded if need be; None: from nowhere.

    Raises:
        ConfigError: there is no such folder.
        DataError: it cannot be downloaded.
        ModelError: it is of another type of model, or what it holds does not go together.
    """
    about = weights or model
    if weights is not None:
        if not weights.is_path:
            about_to_download(f"the weights of {weights.name} of Hugging Face (unless they are in the cache)")
        hub.check_folder(weights.fetch(weights=True))
        _check_type(model, weights)
    if configs.reads(model.config) == "text":
        return _text(about, experiment.settings.sequence_length, weights is not None)
    if weights is None:
        return Prepared(about.config)
    statistics = about.statistics()
    note = f"images are normalised as ImageNet's, since {about.name} does not say how; --mean and --std set others"
    return Prepared(about.config, None, statistics or IMAGENET, () if statistics else (note,))


def _config_of_weights(about: Folder, config: Mapping[str, Any], classes: int, size: int) -> Any:
    """transformers' object of a configuration, with what a folder calls the classes of its weights, and their type."""
    told = {key: about.settings[key] for key in hub.OF_FILE if about.settings.get(key) is not None}
    if len(told.get("id2label", {})) != classes:
        told = {key: value for key, value in told.items() if key not in ("id2label", "label2id")}
    found = configs.configuration(config, classes, size)
    kind = str(told.pop("dtype", about.settings.get("torch_dtype") or "float32"))
    if "id2label" in told:
        found.id2label = {int(number): str(name) for number, name in told["id2label"].items()}
    found.dtype = kind.removeprefix("torch.")
    return found


def _check_type(model: Folder, weights: Folder) -> None:
    mine, theirs = model.config["model_type"], weights.config["model_type"]
    if mine != theirs:
        raise ModelError(f"--weights {weights.name} is a {theirs} model, and --model hf:{model.name} a {mine}.")


def _text(about: Folder, length: int, trained: bool) -> Prepared:
    """What a folder says of text; where it has no tokenizer, one is learnt of the data, unless it has `trained`."""
    if configs.value_in(about.config, "vocab_size") is None:
        raise ModelError(f"{about.name} reads no tokens (its config has no vocab_size), so that no tokenizer suits it.")
    longest = configs.longest(about.config)
    if longest is not None and longest < length:
        raise ModelError(f"{about.name} reads at most {longest} tokens: give --sequence-length {longest}, or less.")
    if not about.has_tokenizer:
        if trained:
            raise ConfigError(f"{about.name} has no tokenizer, which its weights need. Give the whole folder.")
        return Prepared(configs.as_learnt(about.config))
    found = about.tokenizer()
    tokenizer, vocabulary = found.backend_tokenizer, configs.value_in(about.config, "vocab_size")
    special = set(found.all_special_tokens)
    known = tokenizer.get_vocab()
    if max(known.values(), default=0) >= vocabulary or not set(known) - special:
        raise ModelError(
            f"{about.name}: its tokenizer knows {len(known)} tokens, {len(special)} of them special, and its config "
            f"{vocabulary}, so they do not belong together."
        )
    number, notes = _padding(about, found, vocabulary)
    if trained and len(known) < vocabulary:
        notes = (*notes, f"their tokenizer knows {len(known):,} of their {vocabulary:,} tokens")
    token = tokenizer.id_to_token(number)
    tokenizer.enable_padding(pad_id=number, pad_token="" if token is None else token)
    return Prepared({**configs.with_padding(about.config, number), "vocab_size": vocabulary}, tokenizer, None, notes)


def _padding(about: Folder, tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> tuple[int, tuple[str, ...]]:
    """The id of the token that pads: the config's, else the tokenizer's, else that of the end of a text, which is told.

    Raises:
        ModelError: there is none of these.
    """
    own = (configs.value_in(about.config, "pad_token_id"), tokenizer.pad_token_id)
    ends = (tokenizer.eos_token_id, configs.value_in(about.config, "eos_token_id"))
    usable = [[each for each in ids if isinstance(each, int) and 0 <= each < vocabulary] for ids in (own, ends)]
    if usable[0]:
        return usable[0][0], ()
    if usable[1]:
        token = tokenizer.convert_ids_to_tokens(usable[1][0])
        return usable[1][0], (f"sentences are padded with {token}, since {about.name} has no token for that",)
    raise ModelError(
        f"{about.name} has no token to pad sentences with, and none that ends them: set its config's pad_token_id."
    )
