"""Checking: what a loader returns is data that can be trained on, or is refused by what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prunebench.data.dataset import Dataset, Split, kind_of
from prunebench.data.folders import SUFFIXES
from prunebench.data.own_code import called
from prunebench.errors import DataError
from prunebench.runs.digests import listed, shown


def checked(dataset: object, name: str) -> Dataset:
    """The dataset with labels as int64 arrays, or as float32 of 0 and 1 where a sample may have several, after checking
    that inputs, labels and classes agree.

    Raises:
        DataError: it is no Dataset, a split is empty, inputs are of no kind that is read, labels do not fit them or
            the classes, there is one class alone, it brings validation data, or its loss or transform is no function.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(f"{name} returned {type(dataset).__name__}; a loader returns prunebench.Dataset.")
    if dataset.validation is not None:
        raise DataError(f"{name} returned validation data; leave it to --validation, which holds out training data.")
    for part in ("loss", "transform"):
        if (function := getattr(dataset, part)) is not None and not callable(function):
            raise DataError(f"{name}: its {part} is {type(function).__name__}; give a function.")
    if not isinstance(dataset.classes, (Sequence, np.ndarray)) or isinstance(dataset.classes, str):
        kind = type(dataset.classes).__name__
        raise DataError(f"{name}: classes are {kind}; give a list of their names, in the order of the labels.")
    dataset = replace(dataset, train=_listed(dataset.train), test=_listed(dataset.test))
    labels = {part: _labels(split, part, dataset.classes, name) for part, split in _parts(dataset)}
    if len(kinds := {kind_of(split.inputs) for _, split in _parts(dataset)}) > 1:
        raise DataError(f"{name}: train and test inputs are of two kinds: {' and '.join(sorted(kinds))}.")
    if len(dataset.classes) < 2:
        raise DataError(f"{name}: there is one class, {dataset.classes[0]!r}, so there is nothing to tell apart.")
    if labels["train"].ndim != labels["test"].ndim:
        raise DataError(
            f"{name}: labels of train and test are of two shapes: give both a row of zeros and ones per sample."
        )
    train, test = (replace(split, labels=labels[part]) for part, split in _parts(dataset))
    told = (*_called_alike(dataset.classes), *_one_each(labels["train"]), *_by(dataset))
    return replace(dataset, train=train, test=test, notes=(*dataset.notes, *told))


def _called_alike(classes: Sequence[str]) -> Iterator[str]:
    """What is said of classes that share a name, as two of ImageNet's do."""
    counts = Counter(str(name) for name in classes)
    if several := [shown(name) for name, count in counts.items() if count > 1]:
        yield f"several classes have one name, and are classes of their own: {listed(several)}"


def _one_each(labels: np.ndarray) -> Iterator[str]:
    """What is said where every sample has one label, though it may have several."""
    if labels.ndim > 1 and (labels.sum(1) == 1).all():
        yield (
            "every training sample has one label, though any number could be given: labels that are whole numbers, one "
            "per sample, say that it is one out of several"
        )


def _by(dataset: Dataset) -> Iterator[str]:
    """What is said of a loss of the user's."""
    if dataset.loss is not None:
        yield f"trained, and reported as own loss, is {called(dataset.loss)}"


def _parts(dataset: Dataset) -> tuple[tuple[str, Split], ...]:
    return ("train", dataset.train), ("test", dataset.test)


def _listed(split: Split) -> Split:
    """A split whose inputs are a list where they are another kind of sequence, such as a column of a table."""
    known = hasattr(split.inputs, "dtype") or isinstance(split.inputs, (list, tuple, str, bytes, Mapping))
    is_sequence = hasattr(split.inputs, "__len__") and hasattr(split.inputs, "__getitem__")
    return replace(split, inputs=list(split.inputs)) if is_sequence and not known else split


def _labels(split: Split, part: str, classes: Sequence[str], name: str) -> np.ndarray:
    """The labels of a split, int64 of shape (N,), or float32 of shape (N, classes); raises DataError where they or its
    inputs are none."""
    try:
        labels = np.asarray(split.labels)
    except ValueError:  # lists of several lengths
        labels = np.empty((1, 1))
    if labels.size == 0:
        raise DataError(f"{name}: the {part} split is empty.")
    several = labels.ndim == 2
    if several and (problem := _problem_of_sets(labels, len(classes))):
        raise DataError(f"{name}: {part} labels {problem}.")
    if not several and (labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer)):
        raise DataError(f"{name}: {part} labels must be whole numbers, one per sample.")
    if problem := _problem(split.inputs):
        raise DataError(f"{name}: {problem}, in {part}.")
    if len(split.inputs) != len(labels):
        raise DataError(f"{name}: {part} has {len(split.inputs)} inputs but {len(labels)} labels.")
    if several:
        return labels.astype(np.float32)
    if labels.min() < 0 or labels.max() >= len(classes):
        raise DataError(
            f"{name}: {part} labels run from {labels.min()} to {labels.max()}, "
            f"but {len(classes)} classes need 0 to {len(classes) - 1}."
        )
    return labels.astype(np.int64)


def _problem_of_sets(labels: np.ndarray, classes: int) -> str:
    """What is wrong with labels of which a sample may have several; empty where nothing is."""
    if labels.shape[1] != classes or labels.dtype.kind not in "bf":
        return (
            f"must be whole numbers, one per sample; or, where samples may have several, floats or bools of shape "
            f"N×{classes}, a column per class, not {labels.dtype} of shape {'×'.join(map(str, labels.shape))}"
        )
    odd = labels[(labels != 0) & (labels != 1)]
    return f"hold {odd[0]}: where samples may have several labels, each is 0 or 1" if odd.size else ""


def _problem(inputs: Any) -> str:
    """What is wrong with the inputs of a split; empty where nothing is."""
    if hasattr(inputs, "dtype"):
        return _problem_of_images(str(inputs.dtype).removeprefix("torch."), tuple(getattr(inputs, "shape", ())))
    if not isinstance(inputs, (list, tuple)):
        return f"inputs are {type(inputs).__name__} instead of an array of images, or a list of paths or of strings"
    wanted = Path if inputs and isinstance(inputs[0], Path) else str
    if odd := [(index, thing) for index, thing in enumerate(inputs) if not isinstance(thing, wanted)]:
        others = f", as are {len(odd) - 1:,} others" if len(odd) > 1 else ""
        index, thing = odd[0]
        return f"input {index} is {type(thing).__name__}{others}; all must be str, all pathlib.Path, or one uint8 array"
    if wanted is Path or not inputs:
        return ""
    if all(text.lower().endswith(SUFFIXES) for text in inputs):
        return f"inputs such as {inputs[0]!r} look like names of image files: give them as pathlib.Path"
    halves = [index for index, text in enumerate(inputs) if not _is_whole(text)]
    return f"input {halves[0]} holds half of a character (a lone surrogate)" if halves else ""


def _problem_of_images(kind: str, shape: tuple[int, ...]) -> str:
    channels = len(shape) == 3 or (len(shape) == 4 and shape[1] in (1, 3))
    if kind == "uint8" and channels and all(shape[1:]):
        return ""
    first = ", channels first" if len(shape) == 4 and not channels else ""
    texts = "; texts are a list of strings" if len(shape) == 1 else ""
    has = f"{kind} of shape {'×'.join(map(str, shape))}"
    last = "; yours look like N×H×W×C: transpose them by (0, 3, 1, 2)" if first and shape[3] in (1, 3) else ""
    scale = "; if they go from 0 to 1, multiply them by 255, round them, and make them uint8" if "float" in kind else ""
    return f"images must be uint8 of shape N×H×W or N×C×H×W (C being 1 or 3){first}, not {has}{texts}{last}{scale}"


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
