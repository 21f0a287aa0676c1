"""Hub: weights as transformers loads them, from Hugging Face or a folder; everything that does not fit is named."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from prunebench.errors import ModelError
from prunebench.models.architecture import settings_of_bert
from prunebench.models.fitting import Fitted, check_types, in_types, merged, misfit, unwrapped
from prunebench.models.hub_cache import cached
from prunebench.models.masks import Masks
from prunebench.models.quiet import quiet
from prunebench.models.weight_files import Tensors, WeightFile, names_told, read_folder
from prunebench.reading import RECORD, check_plain

OTHER_TASKS = (
    *("cls.", "qa_outputs.", "lm_head.", "lm_loss.", "predictions.", "sop_classifier.", "vocab_transform."),
    *("vocab_layer_norm.", "vocab_projector.", "generator_", "discriminator_predictions.", "multiple_choice_head."),
)
"""How the names of heads begin that other tasks have; they are left out, and that is said."""

POOLER = "pooler."
"""What a model has, or has not, beside its layers; one that it has not is left out, and that is said."""

OF_FILE = ("id2label", "label2id", "dtype")
"""What the config of weights says of them alone."""

CACHED = ("model.safetensors", "pytorch_model.bin")
"""Files of weights in the cache of the hub, of which one is there."""

TEXTS = (".json", ".txt", ".model")
"""How names of files end that are read whole."""


PRUNED = (
    " prunebench wrote this folder of a pruned model whose shape its config cannot say. Write that step with "
    "prunebench export --to safetensors, and give the file as --weights, with the --model that was pruned."
)
"""What to do with a folder that does not fit its own config."""


@quiet()
def read(name: str, model: nn.Module, classes: int, config: Any = None) -> Fitted:
    """The weights of a name or folder for a classifier of so many classes; the classifier alone may start fresh.

    transformers renames what old files call otherwise and draws a fresh classifier from torch's global generator. What
    it finds missing, unexpected or of another shape is refused, and not drawn.

    Args:
        name: of Hugging Face, or a local folder.
        model: what they are for.
        classes: that the data has.
        config: transformers' object of the model's configuration; None: that of the BERT that the name is of.

    Raises:
        ModelError: the weights cannot be read, or do not fit; the message names the keys.
    """
    own: Tensors = model.state_dict()
    local, kind = Path(name).is_dir(), cast(Any, type(model))

    def _loaded(tensors: Tensors | None = None, dtype: torch.dtype | None = None) -> tuple[Any, dict[str, Any]]:
        settings = partial(_settings, name, classes) if config is None else lambda: config
        return _load(name, kind, settings, tensors, dtype)

    loaded = None if local else _loaded()
    there = None if local else cached(name, CACHED)
    folder = Path(name) if local else there and there.parent
    file = WeightFile({}) if folder is None else read_folder(folder)
    try:
        tensors, renamed = unwrapped(file.tensors, own)
        tensors, masks, unmasked = merged(tensors, own)
        check_types(tensors)
        if loaded is None or renamed or unmasked:
            loaded = _loaded(tensors if renamed or unmasked else None)
        types = {value.dtype for value in tensors.values() if value.is_floating_point()}
        if types and types != {loaded[0].dtype}:  # their config asks for another type than the file has
            loaded = _loaded(tensors if renamed or unmasked else None, torch.float32)
        found, info = loaded
        fresh, left_out = _refused(info, own, f"{kind.base_model_prefix}.")
        has, _ = in_types(found.state_dict(), own)
    except ModelError as problem:
        hint = PRUNED if local and (Path(name) / "structure.json").is_file() else ""
        raise ModelError(f"--weights {name} does not fit {kind.config_class.model_type}: {problem}.{hint}") from problem
    others = sorted(types - {torch.float32}, key=str)
    converted = [f"converted from {_type(dtype)} to float32" for dtype in others]
    notes = [*file.notes, *renamed, *unmasked, *converted, *left_out, *_labels(found, fresh)]
    if fresh:
        notes.append(f"the classifier starts fresh, since the weights have {_other(info)}")
    return Fitted(has, _named_as(own, masks, f"{kind.base_model_prefix}."), fresh, tuple(notes))


def check_folder(folder: Path) -> None:
    """Raise ModelError where something in a folder is no plain file, or no text of moderate size: it is opened blindly.

    Weights may be of any size.
    """
    for path in sorted(folder.iterdir()):
        try:
            if not path.is_dir():
                check_plain(path)
            if path.suffix in TEXTS and path.stat().st_size > RECORD:
                raise OSError(errno.EFBIG, f"it is larger than {RECORD // 2**20} MiB", str(path))
        except OSError as error:
            raise ModelError(f"--weights {folder}: {path.name} cannot be read: {error.strerror}.") from error


def _settings(name: str, classes: int) -> Any:
    """The configuration of a model, by what decides its layers, its labels and its type alone."""
    from transformers import BertConfig

    told = BertConfig.from_pretrained(name, num_labels=classes)
    chosen = settings_of_bert(vars(told))
    return BertConfig(**chosen, **{key: getattr(told, key) for key in OF_FILE if hasattr(told, key)})


def _load(
    name: str, kind: Any, config: Callable[[], Any], tensors: Tensors | None, dtype: torch.dtype | None
) -> tuple[Any, dict[str, Any]]:
    """The model as transformers has it, and what it says of the keys; of these tensors, where they are given."""
    how: dict[str, Any] = {"ignore_mismatched_sizes": True, "trust_remote_code": False, "output_loading_info": True}
    if dtype is not None:
        how["dtype"] = dtype
    if tensors is not None:
        how["state_dict"] = dict(tensors)
    try:
        how["config"] = config()
        found: Any = kind.from_pretrained(name if tensors is None else None, **how)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = (str(error) or repr(error)).splitlines()[0].rstrip(".")
        raise ModelError(f"transformers cannot load it: {reason}") from error
    return found[0], found[1]


def _refused(info: dict[str, Any], own: Tensors, base: str) -> tuple[tuple[str, ...], list[str]]:
    """Names of the classifier's parameters that start fresh, by whole layers, and what is said of heads of other tasks.

    The classifier is what stands outside the model that other tasks have too, whose names begin with `base`.

    Raises:
        ModelError: anything else is missing, unexpected or of another shape.
    """
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    shapes: dict[str, Any] = {name: value.shape for name, value in own.items() if name not in missing}
    others = {name: was for name, was, _ in info["mismatched_keys"]}
    others_have = OTHER_TASKS if any(map(_is_pooler, own)) else (*OTHER_TASKS, POOLER, f"{base}{POOLER}")
    heads = [name for name in unexpected if name.startswith(others_have)]
    absent = {_layer(name) for name in {*missing, *others} if not name.startswith(base)}
    fresh = tuple(name for name in own if _layer(name) in absent and not name.startswith(base))
    unknown = [name for name in unexpected if name not in heads]
    shapes |= others | dict.fromkeys(unknown, ())
    if len(missing) == len(own):
        shapes = dict.fromkeys(unknown, ())
    if problem := misfit(shapes, own, fresh):
        raise ModelError(problem)
    if errors := [str(error) for error in info.get("error_msgs", ())]:
        raise ModelError("; ".join(errors))
    tasks = sorted({".".join(name.split(".")[:2]) for name in heads})
    return fresh, [f"{names_told(tasks)} left out: heads of other tasks"] if heads else []


def _is_pooler(name: str) -> bool:
    return f".{POOLER}" in f".{name}"


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _other(info: dict[str, Any]) -> str:
    sizes = [was[0] for _, was, _ in info["mismatched_keys"] if len(was)]
    return f"{sizes[0]} classes" if sizes else "none"


def _labels(model: Any, fresh: tuple[str, ...]) -> list[str]:
    """What the classes of the weights are called, where they have names; the data's may be in another order."""
    names = [str(model.config.id2label[number]) for number in sorted(model.config.id2label)]
    if fresh or all(name == f"LABEL_{number}" for number, name in enumerate(names)):
        return []
    return [f"their classes are, in this order, {names_told(names)}"]


def _named_as(own: Tensors, masks: Masks, base: str) -> Masks:
    """Masks by the model's names; those of a bare model have none of its prefix. The classifier is not masked."""
    named = {name if name in own else f"{base}{name}": mask for name, mask in masks.items()}
    return {name: mask for name, mask in named.items() if name.startswith(base)}


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
