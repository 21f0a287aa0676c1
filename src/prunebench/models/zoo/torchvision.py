"""`torchvision:NAME`: every classification model of torchvision, in the size that its own weights say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.models.architecture import InLibrary, ModelEntry, Published, models
from prunebench.models.libraries import (
    DATA,
    WEIGHTS,
    check_arguments,
    check_name,
    image_entry,
    matching,
    torch_hub_file,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.normalisation import Statistics

REFUSED = {**DATA, "weights*": WEIGHTS, "progress": WEIGHTS}
"""Arguments of torchvision's builders that are not the user's."""

SIZE_ARGUMENT = {"vision_transformer": "image_size", "maxvit": "input_size"}
"""Modules of torchvision whose builders must know the size of images, and what they call it."""

INCEPTIONS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
"""Models with heads that are for training alone, and what these are called."""


class Torchvision:
    """torchvision's classification models."""

    def find(self, name: str) -> ModelEntry:
        """The entry of a model; that there is one is checked when its size is asked for, or it is built."""
        return image_entry(
            "torchvision",
            name,
            partial(build, name),
            InLibrary(partial(_size, name), auxiliary=INCEPTIONS.get(name, ())),
            published=weights_of(name),
            keeps=("classifier",) if name == "alexnet" or name.startswith("vgg") else (),
        )

    def search(self, pattern: str) -> list[str]:
        """Names that fit a glob."""
        return matching(_names(), pattern)


def build(name: str, classes: int, image_size: int, published: bool = False, **more: Any) -> nn.Module:
    """A model with fresh weights.

    Raises:
        ConfigError: `more` asks for weights, or for what data and options decide.
        UnknownName: torchvision has no such model.
    """
    import torchvision

    check_name("torchvision", name, _names())
    check_arguments(more, REFUSED)
    argument = SIZE_ARGUMENT.get(torchvision.models.get_model_builder(name).__module__.rpartition(".")[2])
    size = {} if argument is None else {argument: image_size if argument == "image_size" else (image_size, image_size)}
    own = _of_inception(published) if name in INCEPTIONS else {}
    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **{**own, **size, **more})
    return model


def _of_inception(published: bool) -> dict[str, bool]:
    """GoogLeNet and Inception v3 as they are used: without the heads that help deep nets to be trained from scratch.

    Their weights are TensorFlow's, so that with these the model turns ImageNet's normalisation into that one, as
    torchvision has it. Fresh weights are drawn as torchvision draws them today; it warns that it may not for ever.
    """
    return {"aux_logits": False, "init_weights": not published, "transform_input": published}


def weights_of(name: str) -> dict[str, Published]:
    """What `--weights` may name of a model: `default`, the best that torchvision has, and `imagenet`, the first."""
    return {"default": _published(name), "imagenet": _published(name, "IMAGENET1K_V1")}


def _published(name: str, version: str | None = None) -> Published:
    what = "ImageNet's weights" if version else "the weights"
    return Published(
        f"{what} of {name}, as torchvision has them",
        version=lambda: None if version else str(_weights(name).name),
        here=lambda: torch_hub_file(_weights(name, version).url).exists(),
        load=lambda: _load(_weights(name, version)),
        statistics=lambda: _statistics(_weights(name, version)),
        evaluation=lambda: _evaluation(_weights(name, version)),
    )


@cache
def _names() -> list[str]:
    import torchvision

    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def _weights(name: str, version: str | None = None) -> Any:
    from torchvision.models import get_model_weights

    check_name("torchvision", name, _names())
    members = get_model_weights(name).__members__
    if version and version not in members:
        raise ConfigError(f"--weights imagenet: there are none for torchvision:{name}; give --weights default.")
    return members[version or "DEFAULT"]


def _size(name: str) -> int:
    """The size that its best weights were trained for, pixels."""
    return int(_weights(name).transforms().crop_size[0])


def _statistics(weights: Any) -> Statistics:
    transforms = weights.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def _evaluation(weights: Any) -> tuple[float, str]:
    transforms = weights.transforms()
    return transforms.crop_size[0] / transforms.resize_size[0], str(transforms.interpolation.value)


def _load(weights: Any) -> Mapping[str, torch.Tensor]:
    return dict(weights.get_state_dict(weights_only=True, progress=False))


models.add_library("torchvision", Torchvision())
