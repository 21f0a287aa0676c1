"""Normalisation: the mean and standard deviation that images are normalised with, as others write them down.

Knows no torch: a run's key depends on what is found here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prunebench.reading import read_text

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, or of all: of images that are scaled to 0 to 1."""

NAMES = (("mean", "std"), ("image_mean", "image_std"))
"""What they are called: by timm and most others; by transformers."""

INSIDE = ("pretrained_cfg", "default_cfg", "args", "hyper_parameters", "config")
"""Where they are in a file, if not at its top: as timm, training scripts and Lightning have it."""

BESIDE = ("config.json", "preprocessor_config.json")
"""Files beside a weight file that tell them: timm's and transformers'."""


def problem_of(mean: Any, std: Any) -> str:
    """What is wrong with a mean and a standard deviation; empty where nothing is."""
    if len(mean) not in (1, 3) or len(mean) != len(std):
        return f"there are {len(mean)} and {len(std)} numbers, and each must have 1 or 3"
    if not all(map(math.isfinite, (*mean, *std))):
        return "they must be finite"
    if max(mean) > 1:
        scaled = ",".join(f"{value / 255:.4g}" for value in mean)
        return f"images are scaled to 0 to 1 before; of 0 to 255, the mean is {scaled}"
    if min(mean) < 0 or min(std) <= 0:
        return "a mean is between 0 and 1, and a standard deviation above 0"
    return ""


def statistics_in(found: Any) -> Statistics | None:
    """The statistics that a mapping, or an object with attributes, tells; None where it tells none that are sound."""
    for place in (found, *(_get(found, name) for name in INSIDE)):
        if statistics := _statistics(place):
            return statistics
    return None


def statistics_of(model: object) -> Statistics | None:
    """The statistics that a model of timm tells, which keeps them in its `pretrained_cfg`."""
    return _statistics(getattr(model, "pretrained_cfg", None)) or _statistics(getattr(model, "default_cfg", None))


def _statistics(place: Any) -> Statistics | None:
    if place is not None:
        for names in NAMES:
            mean, std = (_numbers(_get(place, name)) for name in names)
            if mean and std and not problem_of(mean, std):
                return mean, std
    return None


def statistics_beside(path: Path) -> Statistics | None:
    """The statistics that timm's or transformers' file beside a weight file tells."""
    for name in BESIDE:
        try:
            found = json.loads(read_text(path.parent / name))
        except (OSError, ValueError, RecursionError):
            continue
        if statistics := statistics_in(found):
            return statistics
    return None


def told(statistics: Statistics) -> str:
    """`mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225`."""
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in statistics)
    return f"mean {mean}, std {std}"


def _get(place: Any, name: str) -> Any:
    return place.get(name) if isinstance(place, Mapping) else getattr(place, "__dict__", {}).get(name)


def _numbers(values: Any) -> tuple[float, ...] | None:
    if isinstance(values, str):  # as the metadata of safetensors has them
        try:
            values = json.loads(values)
        except ValueError:
            return None
    if not isinstance(values, list | tuple):
        return None
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return tuple(map(float, values)) if plain and values else None
