"""Libraries: what the models that libraries have by name share. Names and arguments come from files too, and reach
nothing but the builder of a model that the library itself lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from prunebench.errors import ConfigError, UnknownName
from prunebench.models.architecture import InLibrary, Later, ModelEntry

DATA = {
    "num_classes": "the data has the classes",
    **dict.fromkeys(("in_chans", "in_channels"), "images have three channels"),
    **dict.fromkeys(("img_size", "image_size", "input_size"), "give --image-size"),
}
"""Arguments of builders that are known, and what to do instead."""

WEIGHTS = "weights are chosen by --weights, such as --weights default"

WORD = re.compile(r"[A-Za-z0-9_+-]{0,40}")
"""What a text may be that is given to a builder: no path and no address."""


def image_entry(library: str, name: str, build: Callable[..., Any], about: InLibrary, **more: Any) -> ModelEntry:
    """The entry of a model of images, in the size that its library says; that is asked for when it is needed.

    `more` are other fields of ModelEntry.
    """
    return ModelEntry(
        f"{library}:{name}",
        f"of {library}",
        build,
        reads="images",
        defaults=Later(lambda: {"image_size": about.made_for()}),
        library=about,
        **more,
    )


def check_name(library: str, name: str, names: Iterable[str]) -> None:
    """Raise UnknownName unless a library lists a model of this name."""
    known = list(names)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {library}:{near[0]}?" if near else ""
    raise UnknownName(
        f"{library} has no classification model {name!r}.{hint} All are told by: "
        f"prunebench list --models '{library}:*'."
    )


def check_arguments(given: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    """Raise ConfigError where an argument would load something, or is one that data and options decide.

    Args:
        given: by name.
        refused: globs of names → what to do instead.
    """
    for name, value in sorted(given.items()):
        why = [instead for glob, instead in refused.items() if fnmatchcase(name, glob)]
        if why:
            raise ConfigError(f"--model-arg {name}: {why[0]}.")
        if isinstance(value, str) and not WORD.fullmatch(value):
            raise ConfigError(f"--model-arg {name}={value[:40]}: a library's builder takes numbers and single words.")


def torch_hub_file(url: str) -> Path:
    """Where torch.hub keeps a file of weights once it is downloaded."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """Those names that fit a glob, sorted."""
    return sorted(name for name in names if fnmatchcase(name, pattern))
