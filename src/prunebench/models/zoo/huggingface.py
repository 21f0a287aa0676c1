"""`hf:NAME` and `hf:FOLDER`: every classifier of transformers, of sequences or images, by its config as data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from prunebench.errors import ModelError
from prunebench.models import configs
from prunebench.models.architecture import Later, ModelEntry, Published, models
from prunebench.models.folders import Folder, folder_of
from prunebench.models.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.normalisation import Statistics

LENGTH, SIZE = 128, 224
"""Tokens that are read unless a model has fewer positions; pixels where neither its processor nor its config says."""

KEPT = ("*.pooler", "pre_classifier", "classifier.dense")
"""Layers between a model and its classifier, whose sizes no config of transformers can say."""

PRETRAINED = {"optimizer": "adamw", "lr": 2e-5, "finetune_lr": 2e-5}


class HuggingFace:
    """Classifiers of transformers, by a name of Hugging Face or a folder."""

    def find(self, name: str) -> ModelEntry:
        """The entry of a name or a folder; of one that is not here a model is built by what a checkpoint holds."""
        folder = folder_of(name)
        return ModelEntry(
            f"hf:{name}",
            "of transformers",
            build,
            reads=_reads(folder),
            defaults=Later(partial(_suits, folder)),
            pretrained=PRETRAINED,
            published={"default": _published(folder)},
            hub=True,
            keeps=KEPT,
            folder=folder,
            settings=_checked,
        )

    def search(self, pattern: str) -> list[str]:
        """None: nobody lists what Hugging Face has."""
        return []


def build(classes: int, image_size: int, config: dict[str, Any]) -> nn.Module:
    """A classifier of a configuration with fresh weights. Nothing is adapted.

    Raises:
        ModelError: the configuration is none that a model is built by.
    """
    with quiet():
        settings = configs.configuration(config, classes, image_size)
        model: nn.Module = configs.model_class(config)(settings)
    return model


def _checked(config: Mapping[str, Any]) -> dict[str, Any]:
    configs.check(config)
    return dict(config)


def _reads(folder: Folder) -> Literal["text", "images"] | None:
    """What a model reads; None where that is not known on this machine, which is told when it is needed."""
    try:
        return configs.reads(folder.settings) if folder.place else None
    except ModelError:
        return None


def _suits(folder: Folder) -> Mapping[str, Any]:
    if configs.reads(folder.config) == "text":
        return {"sequence_length": min(LENGTH, configs.longest(folder.config) or LENGTH)}
    return {"image_size": folder.image_size() or SIZE}


def _published(folder: Folder) -> Published:
    def load() -> Mapping[str, torch.Tensor]:
        from prunebench.models.weight_files import read_folder

        return read_folder(folder.fetch(weights=True)).tensors

    def statistics() -> Statistics:
        return folder.statistics() or ((0.0,), (1.0,))

    return Published(f"the weights of {folder.name}", folder.weights_digest, lambda: folder.is_path, load, statistics)


models.add_library("hf", HuggingFace())
