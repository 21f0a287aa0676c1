"""Normalisation: the mean and standard deviation that images are normalised with, as others write them down.

Knows no torch: a run's key depends on what is found here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
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
    return next((each for each in _told_in(found) if not problem_of(*each)), None)


def unsound_in(found: Any) -> str:
    """What is wrong with the statistics that a mapping tells, where none of them is sound; else empty."""
    every = list(_told_in(found))
    problems = [problem_of(*each) for each in every]
    return f"{told(every[0])} is not taken: {problems[0]}" if every and all(problems) else ""


def statistics_of(model: object) -> Statistics | None:
    """The statistics that a model of timm tells, which keeps them in its `pretrained_cfg`."""
    return _statistics(getattr(model, "pretrained_cfg", None)) or _statistics(getattr(model, "default_cfg", None))


def _statistics(place: Any) -> Statistics | None:
    return next((each for each in _told_at(place) if not problem_of(*each)), None)


def _told_in(found: Any) -> Iterator[Statistics]:
    """Every mean and standard deviation, sound or not, at the top of a mapping and where else they may be."""
    for place in (found, *(_get(found, name) for name in INSIDE)):
        yield from _told_at(place)


def _told_at(place: Any) -> Iterator[Statistics]:
    for names in NAMES if place is not None else ():
        mean, std = (_numbers(_get(place, name)) for name in names)
        if mean and std:
            yield mean, std


def statistics_beside(path: Path) -> Statistics | None:
    """The statistics that timm's or transformers' file beside a weight file tells."""
    return next((statistics for _, found in _beside(path) if (statistics := statistics_in(found))), None)


def unsound_beside(path: Path) -> str:
    """What is wrong with the statistics that a file beside a weight file tells, with its name; else empty."""
    told_by = ((name, unsound_in(found)) for name, found in _beside(path))
    return next((f"{name}: {what}" for name, what in told_by if what), "")


def _beside(path: Path) -> Iterator[tuple[str, Any]]:
    for name in BESIDE:
        with suppress(OSError, ValueError, RecursionError):
            yield name, json.loads(read_text(path.parent / name))


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
