"""`torchvision:NAME`: every classification model of torchvision, in the size that its own weights say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError, UnknownName
from prunebench.models.architecture import Later, ModelEntry, Published, models

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.normalisation import Statistics

OF_THE_LIBRARY = ("weights", "weights_backbone", "progress")
"""Arguments of torchvision's builders that fetch weights; --weights does."""

SIZE_ARGUMENT = {"vision_transformer": "image_size", "maxvit": "input_size"}
"""Modules of torchvision whose builders must know the size of images, and what they call it."""

PRETRAINED = {"optimizer": "adamw", "lr": 1e-4, "finetune_lr": 1e-4}


class Torchvision:
    """torchvision's classification models."""

    def find(self, name: str) -> ModelEntry:
        """The entry of a model; that there is one is checked when its size is asked for, or it is built."""
        return ModelEntry(
            f"torchvision:{name}",
            "of torchvision",
            partial(build, name),
            reads="images",
            defaults=Later(partial(_suits, name)),
            pretrained=PRETRAINED,
            published=weights_of(name),
            keeps=("classifier",) if name == "alexnet" or name.startswith("vgg") else (),
        )

    def search(self, pattern: str) -> list[str]:
        """Names that fit a glob."""
        return [name for name in _names() if fnmatchcase(name, pattern)]


def build(name: str, classes: int, image_size: int, **more: Any) -> nn.Module:
    """A model with fresh weights.

    Raises:
        ConfigError: `more` asks for weights.
        UnknownName: torchvision has no such model.
    """
    import torchvision

    _check(name)
    if wrong := sorted(set(more) & set(OF_THE_LIBRARY)):
        raise ConfigError(f"--model-arg {wrong[0]}: weights are chosen by --weights, such as --weights default.")
    argument = SIZE_ARGUMENT.get(torchvision.models.get_model_builder(name).__module__.rpartition(".")[2])
    size = {} if argument is None else {argument: image_size if argument == "image_size" else (image_size, image_size)}
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **size, **more)
    return model


def weights_of(name: str) -> dict[str, Published]:
    """What `--weights` may name of a model: `default`, the best that torchvision has, and `imagenet`, the first."""
    return {"default": _published(name), "imagenet": _published(name, "IMAGENET1K_V1")}


def _published(name: str, version: str | None = None) -> Published:
    what = "ImageNet's weights" if version else "the weights"
    return Published(
        f"{what} of {name}, as torchvision has them",
        version=lambda: None if version else str(_weights(name).name),
        here=lambda: _file(_weights(name, version)).exists(),
        load=lambda: _load(_weights(name, version)),
        statistics=lambda: _statistics(_weights(name, version)),
    )


@cache
def _names() -> list[str]:
    import torchvision

    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def _check(name: str) -> None:
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f" Did you mean torchvision:{near[0]}?" if near else ""
        raise UnknownName(
            f"torchvision has no classification model {name!r}.{hint} All are told by: "
            f"prunebench list --models 'torchvision:*'."
        )


def _weights(name: str, version: str | None = None) -> Any:
    from torchvision.models import get_model_weights

    _check(name)
    members = get_model_weights(name).__members__
    if version and version not in members:
        raise ConfigError(f"--weights imagenet: there are none for torchvision:{name}; give --weights default.")
    return members[version or "DEFAULT"]


def _suits(name: str) -> Mapping[str, Any]:
    """The size that its best weights were trained for, pixels."""
    return {"image_size": _weights(name).transforms().crop_size[0]}


def _statistics(weights: Any) -> Statistics:
    transforms = weights.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def _file(weights: Any) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name


def _load(weights: Any) -> Mapping[str, torch.Tensor]:
    return dict(weights.get_state_dict(weights_only=True, progress=False))


models.add_library("torchvision", Torchvision())
