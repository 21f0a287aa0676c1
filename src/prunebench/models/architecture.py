"""Architectures: the registry of models, and how one is built from plain data.

A builder takes, by name, those of these arguments that it asks for, and returns an nn.Module:

    classes      number of classes
    channels     3: grey images are repeated to three channels
    image_size   height and width of an image, pixels
    adapt        whether the shape may follow a small input (no published weights are loaded)
    stem         "standard" or "small"
    config       transformers' configuration as a dict (text models)
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from prunebench.errors import ModelError
from prunebench.models.inputs import Inputs
from prunebench.registry import Registry, call

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelEntry:
    """A registered model: how it is built, what it reads, and the values of RunConfig fields that suit it.

    `pretrained` overrides `defaults` where published weights are loaded; `published` says where torchvision or
    Hugging Face has them.
    """

    name: str
    summary: str
    build: Callable[..., nn.Module]
    reads: Literal["images", "text"] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pretrained: Mapping[str, Any] = field(default_factory=dict)
    published: Literal["torchvision", "huggingface"] | None = None


def _users_own(name: str, thing: Any) -> ModelEntry:
    """An entry of a user's builder, or of a model itself, of which every run takes a copy."""
    is_model = hasattr(thing, "state_dict") and not inspect.isclass(thing)
    return ModelEntry(name, "your own", (lambda: copy.deepcopy(thing)) if is_model else thing)


ARGUMENTS = {"classes", "channels", "image_size", "adapt", "stem", "config"}
"""What a builder may be given; a file that asks for more is not believed."""

models: Registry[ModelEntry] = Registry("model", "prunebench.models.zoo", _users_own)


def register(name: str, summary: str, **about: Any) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: register a builder under a name; keywords are ModelEntry's."""

    def add(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        models.add(name, ModelEntry(name, summary, build, **about))
        return build

    return add


def takes(entry: ModelEntry, argument: str) -> bool:
    """Whether the model's builder asks for an argument."""
    return argument in inspect.signature(entry.build).parameters


class Architecture(msgspec.Struct, frozen=True):
    """A model as data: its name or reference, the arguments of its builder, and the shape of its input."""

    model: str
    arguments: dict[str, Any]
    inputs: Inputs

    def build(self, model: Any = None) -> nn.Module:
        """Build the model with fresh weights from torch's global generator, on the CPU.

        `model` is the builder itself, where it has no importable reference.

        Raises:
            ModelError: the builder fails or does not return an nn.Module.
        """
        from torch import nn

        entry = models.get(model or self.model)
        try:
            built = call(entry.build, self.arguments)
        except (RuntimeError, TypeError, ValueError) as error:
            hint = " Try a larger --image-size." if "too small" in str(error) else ""
            raise ModelError(f"{self.model} cannot be built for {self.inputs.text()}: {error}.{hint}") from error
        if not isinstance(built, nn.Module):
            raise ModelError(f"{self.model} returned {type(built).__name__}; a builder returns an nn.Module.")
        return built
