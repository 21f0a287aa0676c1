"""`timm:NAME`: every model of timm's own registry, with or without the tag of its weights, in the size that these say.

timm is an extra. Nothing of it is imported before a model is used, and names that it would fetch or open a folder for
(`hf-hub:`, `local-dir:`) are none of its registry.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError
from prunebench.models.architecture import InLibrary, ModelEntry, Published, models
from prunebench.models.hub_cache import cached
from prunebench.models.libraries import (
    DATA,
    WEIGHTS,
    check_arguments,
    check_name,
    image_entry,
    matching,
    torch_hub_file,
)
from prunebench.models.quiet import quiet_hub
from prunebench.registry import check_installed

if TYPE_CHECKING:
    import torch
    from torch import nn

    from prunebench.models.normalisation import Statistics

SCORES = "a classifier is built, which returns scores"

REFUSED = {
    **DATA,
    **dict.fromkeys(("pretrained*", "checkpoint*", "cache*", "*_path", "*file*", "*url*", "*hub*"), WEIGHTS),
    **dict.fromkeys(("features_only", "out_indices", "feature_*", "output_fmt"), SCORES),
    **dict.fromkeys(("model_c*", "kwargs_filter", "*_fn", "device", "dtype"), "that is no size of the model"),
}
"""Globs of arguments of timm's builders that are not the user's: what loads something, and what returns no scores."""


class Timm:
    """The models of timm's registry."""

    def find(self, name: str) -> ModelEntry:
        """The entry of a model; that timm is there, and has one, is checked when its size is asked for, or it is
        built."""
        about = InLibrary(partial(_size, name), partial(_heads, name), packages=("timm",))
        published = {"default": _published(name)}
        return image_entry("timm", name, partial(build, name), about, published=published)

    def search(self, pattern: str) -> list[str]:
        """Names that fit a glob: those with tags only where it has a dot."""
        return matching(_names(tags="." in pattern), pattern)


def build(name: str, classes: int, image_size: int, **more: Any) -> nn.Module:
    """A model with fresh weights, for images of this size where it must know.

    Raises:
        ConfigError: timm is not installed; or `more` would load something, or says what data and options decide.
        UnknownName: timm has no such model.
    """
    settings = _settings(name)
    check_arguments(more, REFUSED)
    size = {"img_size": image_size} if settings.fixed_input_size else {}
    model: nn.Module = _timm().create_model(name, pretrained=False, num_classes=classes, **size, **more)
    return model


def _published(name: str) -> Published:
    return Published(
        f"the weights of {name}, as timm has them",
        version=lambda: None if "." in name else str(_settings(name).tag or ""),
        here=lambda: _is_here(_with_weights(name)),
        load=lambda: _load(name),
        statistics=lambda: _statistics(_settings(name)),
        evaluation=lambda: (float(_settings(name).crop_pct), str(_settings(name).interpolation)),
    )


def _timm() -> ModuleType:
    """timm, imported.

    Raises:
        ConfigError: it is not installed.
    """
    check_installed(("timm",), "--model timm:NAME", "timm")
    with warnings.catch_warnings():  # of what it imports itself
        warnings.simplefilter("ignore")
        import timm
    return timm


@cache
def _names(tags: bool) -> list[str]:
    found: list[str] = _timm().list_models(include_tags=tags)
    return found


@cache
def _settings(name: str) -> Any:
    """What timm says of a model: the size, the normalisation and the place of its weights.

    Raises:
        UnknownName: timm has no such model, or no weights of such a tag.
    """
    timm = _timm()
    check_name("timm", name, _names(tags="." in name))
    return timm.get_pretrained_cfg(name)


def _size(name: str) -> int:
    """The size of images that its weights were trained for, pixels; of the few that are not square, the height."""
    return int(_settings(name).input_size[1])


def _statistics(settings: Any) -> Statistics:
    return tuple(map(float, settings.mean)), tuple(map(float, settings.std))


def _heads(name: str) -> tuple[str, ...]:
    """Names of the modules that are its classifier."""
    found = _settings(name).classifier
    return (found,) if isinstance(found, str) else tuple(found or ())


def _is_here(settings: Any) -> bool:
    if settings.hf_hub_id:
        return _in_cache(settings) is not None
    return bool(settings.url) and torch_hub_file(settings.url).exists()


def _in_cache(settings: Any) -> Path | None:
    """The file of its weights in the hub's cache on this machine."""
    files = settings.hf_hub_filename or "model.safetensors", "model.safetensors", "pytorch_model.bin"
    return cached(settings.hf_hub_id, files) if settings.hf_hub_id else None


def _load(name: str) -> Mapping[str, torch.Tensor]:
    """The weights of a model in its own size and with its own classes, as timm itself fills them in.

    Raises:
        ConfigError: timm has none.
        OSError: they cannot be had.
    """
    settings = _with_weights(name)
    try:
        if settings.hf_hub_id and not _is_here(settings):
            _reach_hub()
        file = _in_cache(settings) if settings.custom_load != "hf" else None  # which else the hub is asked about
        of_file = {} if file is None else {"pretrained_cfg_overlay": {"file": str(file), "custom_load": False}}
        with quiet_hub():
            return dict(_timm().create_model(name, pretrained=True, **of_file).state_dict())
    except Exception as error:  # the hub and its clients have errors of their own
        raise OSError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


def _with_weights(name: str) -> Any:
    """What timm says of a model that it has weights of.

    Raises:
        ConfigError: it has none.
    """
    if not (settings := _settings(name)).has_weights:
        raise ConfigError(f"--weights default: timm has none for {name}. Train it from scratch, or give a file.")
    return settings


def _reach_hub() -> None:
    """Raise the client's own error where the hub cannot be reached, which else is found out in a minute of retries."""
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=10)


models.add_library("timm", Timm())
