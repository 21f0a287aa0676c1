"""Dataset: what a loader returns, and the registry of loaders.

A user's loader returns a Dataset as well; what its inputs are decides how they are read:

    uint8 array or tensor, N×H×W or N×C×H×W   images in memory
    list of paths                             images in files
    list of strings                           sentences
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prunebench.data.own_code import digest_of
from prunebench.data.stratified_sets import stratified_sets
from prunebench.errors import ConfigError, DownloadNeeded
from prunebench.reading import sha256
from prunebench.registry import Registry

Kind = Literal["images", "files", "text"]

Part = Literal["train", "test", "validation"]

READING = ("text_column", "label_column", "header", "encoding", "trust_data")
"""Settings that say how files are read: options for loaders that ask for them by name."""

log = logging.getLogger(__name__)
_offline: ContextVar[bool] = ContextVar("_offline", default=False)


@dataclass(frozen=True)
class Split:
    """Inputs and their labels: integers from 0 to classes − 1, of shape (N,); or, where a sample may have several
    labels or none, zeros and ones of shape (N, classes)."""

    inputs: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Train and test data, the names of the classes, and what was held out of the training data to select on.

    Attributes:
        notes: what was left out or converted, for the summary.
        loss: (logits, targets) → the loss of each sample, or their mean; in the place of cross-entropy wherever there
            is a loss (see `own_loss`).
        transform: a training batch → the same batch, augmented (see `own_transform`).
    """

    train: Split
    test: Split
    classes: Sequence[str]
    validation: Split | None = None
    notes: tuple[str, ...] = ()
    loss: Callable[..., Any] | None = None
    transform: Callable[[Any], Any] | None = None

    @property
    def splits(self) -> dict[Part, Split]:
        """Every part by name; of validation data that was not held out, no samples."""
        nothing = Split(self.train.inputs[:0], self.train.labels[:0])
        return {"train": self.train, "test": self.test, "validation": self.validation or nothing}

    @property
    def is_multi_label(self) -> bool:
        """Whether a sample may have several labels, or none."""
        return np.ndim(self.train.labels) > 1

    @property
    def kind(self) -> Kind:
        """What the inputs are: images in memory, image files, or sentences."""
        return kind_of(self.train.inputs)

    def digest(self, of_files: Callable[[Sequence[Path]], Mapping[Path, str]] | None = None) -> str:
        """SHA-256 of all inputs, labels and names of classes, of files their contents, not their names; and of what a
        loss and a transform are made of.

        `of_files` gives the SHA-256 of each of some files; by default they are read.
        """
        total = hashlib.sha256(repr(list(self.classes)).encode())
        for split in (self.train, self.test):
            inputs = split.inputs
            if hasattr(inputs, "shape"):
                total.update(f"{tuple(inputs.shape)} {inputs.dtype}".encode())
                total.update(np.ascontiguousarray(inputs).tobytes())
            elif self.kind == "files":
                known = (of_files or _read)(list(inputs))
                total.update("".join(known[path] for path in inputs).encode())
            else:
                total.update(repr(list(inputs)).encode())
            labels = np.asarray(split.labels)
            total.update((f"{labels.shape}" if labels.ndim > 1 else "").encode())
            total.update(labels.tobytes())
        for name in ("loss", "transform"):
            if (function := getattr(self, name)) is not None:
                total.update(f"{name} {digest_of(function)}".encode())
        return total.hexdigest()


def kind_of(inputs: Any) -> Kind:
    """What inputs are."""
    if hasattr(inputs, "shape"):
        return "images"
    return "files" if isinstance(inputs[0], Path) else "text"


def _read(paths: Sequence[Path]) -> dict[Path, str]:
    return {path: sha256(path) for path in paths}


@dataclass(frozen=True)
class DatasetEntry:
    """A registered dataset.

    `load` takes, by name, those of `data_dir` (Path), `seed` and the settings in READING that it asks for and returns
    a Dataset; of READING it is handed what was given, and has defaults of its own for the rest. `files` lists the local
    files whose contents are the data; `own`, that it is the user's, known by what `load` returns; `downloads`, that it
    may be fetched where there are no files yet. `defaults` are values of RunConfig fields.
    """

    name: str
    summary: str
    load: Callable[..., Dataset]
    reads: Kind | None = None
    files: Callable[[Path], Iterable[Path]] = lambda data_dir: ()
    defaults: dict[str, Any] | None = None
    own: bool = False
    downloads: bool = False


def _users_own(name: str, thing: Any) -> DatasetEntry:
    """An entry of a user's loader, or of a Dataset itself."""
    return DatasetEntry(name, "your own", (lambda: thing) if isinstance(thing, Dataset) else thing, own=True)


def reads_by(entry: DatasetEntry) -> set[str]:
    """Those settings of READING that a loader asks for."""
    try:
        parameters = inspect.signature(entry.load).parameters.values()
    except (TypeError, ValueError):  # it is no function, or has no signature to look at
        return set()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return set(READING) if takes_all else {parameter.name for parameter in parameters} & set(READING)


datasets: Registry[DatasetEntry] = Registry("dataset", "prunebench.data.datasets", _users_own)


@contextmanager
def no_downloads() -> Iterator[None]:
    """Within it, data or weights that are not on this machine raise DownloadNeeded instead of being fetched."""
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def about_to_download(what: str) -> None:
    """Whoever downloads says so first.

    Raises:
        DownloadNeeded: within `no_downloads`.
    """
    if _offline.get():
        raise DownloadNeeded(f"Not on this machine yet: {what}.")
    log.info("downloading %s, which is not on this machine yet", what)


def register(
    name: str,
    summary: str,
    *,
    reads: Kind,
    files: Callable[[Path], Iterable[Path]] = lambda data_dir: (),
    defaults: dict[str, Any] | None = None,
    downloads: bool = False,
) -> Callable[[Callable[..., Dataset]], Callable[..., Dataset]]:
    """Decorator: register a loader under a name."""

    def add(load: Callable[..., Dataset]) -> Callable[..., Dataset]:
        datasets.add(name, DatasetEntry(name, summary, load, reads, files, defaults, downloads=downloads))
        return load

    return add


def stratified(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices, in ascending order, of a fixed subset of `count` samples in which each class keeps its share; where
    samples may have several labels, each label, as far as that can be.

    The same labels and seed always give the same subset: it is drawn with a generator of its own. Classes whose share
    has the largest remainder take the samples that rounding down leaves over.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    if np.ndim(labels) > 1:
        return stratified_sets(np.asarray(labels) > 0, count, seed)
    kinds, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    take = np.floor(exact).astype(int)
    take[np.argsort(take - exact, kind="stable")[: count - take.sum()]] += 1
    draw = np.random.default_rng(seed)
    chosen = [draw.permutation(np.flatnonzero(labels == kind))[:n] for kind, n in zip(kinds, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def present(labels: np.ndarray) -> int:
    """How many classes have a sample."""
    return int((labels > 0).any(0).sum()) if labels.ndim > 1 else len(np.unique(labels))


def counts(labels: Any, classes: int) -> np.ndarray:
    """Samples of each class, int64 of shape (classes,)."""
    array = np.asarray(labels)
    found: np.ndarray = (array > 0).sum(0) if array.ndim > 1 else np.bincount(array, minlength=classes)
    return found


def subset(split: Split, indices: np.ndarray) -> Split:
    """The samples at the given indices."""
    if hasattr(split.inputs, "shape"):
        return Split(split.inputs[indices], split.labels[indices])
    return Split([split.inputs[i] for i in indices], split.labels[indices])


def hold_out(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Move a stratified share of the training data to the validation data; the same seed always moves the same.

    Raises:
        ConfigError: too little is left on either side.
    """
    labels = np.asarray(dataset.train.labels)
    held = stratified(labels, round(share * len(labels)), seed)
    kept = np.setdiff1d(np.arange(len(labels)), held)
    if not len(held) or present(labels[kept]) < present(labels):
        raise ConfigError(
            f"--validation {share:g}: of {len(labels)} training samples {len(held)} would be held out, and "
            f"{present(labels[kept])} of {present(labels)} classes would be left to train on. "
            f"Give another share, or more data."
        )
    return replace(dataset, train=subset(dataset.train, kept), validation=subset(dataset.train, held))
