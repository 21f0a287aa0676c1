"""Matrix text: one text matrix read back, with what its name and its `#` lines tell.

A name is `MODEL_METHOD[_WORDS]_KIND.txt` in letters of either case. A criterion among the words is one; the last number
of an efficiency file is the percentage left, and words after it are the backend; other words tell variants apart. What
`#` lines tell goes before what the name tells.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from prunebench.config import deciding, default, field_types
from prunebench.errors import DataError
from prunebench.pruning.registry import criteria, methods
from prunebench.reading import RECORD, read_text
from prunebench.registry import without_folder
from prunebench.results.matrices import EFFICIENCY, NUM_PARAMS, PERFORMANCE
from prunebench.results.settings import files_in, settings_in

ROWS = {"performance": PERFORMANCE, "num_params": NUM_PARAMS, "efficiency": EFFICIENCY}
"""Kinds of matrices, and what their rows are."""

VARIANT = "variant"
"""The setting that words of a name become which tell nothing else."""

LISTS = tuple(name for name in deciding("training", "pruning") if default(name) == ())
"""Settings that are lists; `#` lines leave them out where they are empty."""


@dataclass(frozen=True)
class MatrixFile:
    """One text matrix.

    Attributes:
        kind: one of ROWS.
        settings: what decides the run, as far as it is told; the seed is among it.
        head: the `#` lines, key → value.
        rows: the numbers, as they are in the file.
        left, backend: of an efficiency file the nominal share left, and the backend as curves call it.
    """

    path: Path
    kind: str
    settings: Mapping[str, Any]
    head: Mapping[str, str]
    rows: np.ndarray
    left: float = nan
    backend: str = "eager"

    @property
    def run(self) -> str | None:
        """The key of the run, where the file tells it."""
        return self.head.get("run")

    def file_of(self, name: str) -> tuple[object, str | None]:
        """A model, dataset or criterion as the file writes it, with its folders, and the digest of its own file."""
        told = settings_in(self.head.get("settings", ""))
        return told.get(name, self.settings.get(name)), self.files.get(name)

    @property
    def files(self) -> dict[str, str]:
        """The beginnings of digests of the user's files, and the name of the data, as far as they are told."""
        return files_in(self.head.get("files", ""))

    @property
    def without_seed(self) -> dict[str, Any]:
        """The settings but for the seed and those that have no value."""
        return {name: value for name, value in self.settings.items() if name != "seed" and value is not None}


def read_matrix(path: Path) -> MatrixFile:
    """Read one matrix.

    Raises:
        DataError: the file is not there, or it is no matrix or a damaged one.
    """
    try:
        text = read_text(path, at_most=RECORD)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file or folder.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    named = _named(path)
    lines = (line.removeprefix("#").strip().partition(": ") for line in text.splitlines() if line.startswith("#"))
    head = {key: value for key, _, value in lines}
    file = replace(named, head=head, rows=_rows(path, named.kind, text))
    if "settings" not in head:
        return file
    settings = {name: named.settings[name] for name in ("model", "method")} | _settings(head["settings"])
    if not isinstance(settings.get("seed", 0), int):
        raise DataError(f"{path} is damaged: its seed is {settings['seed']!r}, which is no whole number.")
    return replace(file, settings=settings)


def _named(path: Path) -> MatrixFile:
    """What the name of a file tells; letters may be of either case."""
    pattern = rf"(?P<model>.+?)_(?P<method>{'|'.join(methods.names())})(?:_(?P<words>.+))?_(?P<kind>{'|'.join(ROWS)})"
    told = re.fullmatch(pattern, path.stem.lower()) if path.suffix.lower() == ".txt" else None
    if told is None:
        kinds = ", ".join(f"_{kind}.txt" for kind in ROWS)
        raise DataError(f"{path}: its name is not that of a matrix, MODEL_METHOD{kinds}.".replace(", _", " or _"))
    words = re.split("_", told["words"] or "")
    left, backend = nan, "eager"
    if told["kind"] == "efficiency":
        at = max((i for i, word in enumerate(words) if _number(word) is not None), default=None)
        if at is None:
            raise DataError(f"{path}: its name does not say how many percent of the model are left, such as 53.14.")
        left, backend, words = float(words[at]) / 100, _backend(words[at + 1 :]), words[:at]
    criterion = next((word for word in words if word in criteria.names()), methods.get(told["method"]).criterion)
    rest = " ".join(word for word in words if word and word != criterion and _number(word) is None)
    settings = {"model": told["model"], "method": told["method"], "criterion": criterion, VARIANT: rest or None}
    return MatrixFile(path, told["kind"], settings, {}, np.empty(0), left, backend)


def _number(word: str) -> float | None:
    return float(word) if re.fullmatch(r"\d+(\.\d+)?(e-?\d+)?", word) else None


def _backend(words: Sequence[str]) -> str:
    """`onnxruntime_bf16` → `onnxruntime, bf16`, as curves call it."""
    dtype = words[-1:] if words and words[-1] in ("fp32", "tf32", "bf16", "fp16", "int8") else []
    backend = "_".join(words[: len(words) - len(dtype)]) or "eager"
    return backend if dtype in ([], ["fp32"]) else f"{backend}, {dtype[0]}"


def _rows(path: Path, kind: str, text: str) -> np.ndarray:
    """The numbers of a matrix, one row per line, checked for what they must be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a file holds no number is told below
        try:
            rows = np.loadtxt(text.splitlines(), ndmin=2)
        except ValueError as error:
            raise DataError(f"{path} is damaged: {error}.") from None
    first, rest = rows[:1], rows[1:]
    right = {
        "performance": (first > 0) & (first <= 100 + 1e-9) & ((rest >= 0) & (rest <= 1)).all(axis=0),
        "num_params": (first > 0) & (first <= 100 + 1e-9) & (rest > 0).all(axis=0) & (rest <= rest[:1]).all(axis=0),
        "efficiency": (first >= 1) & (first == first.round()) & (rest > 0).all(axis=0) & np.isfinite(rest).all(axis=0),
    }
    if rows.shape[0] != len(ROWS[kind]) or not rows.size:
        raise DataError(f"{path} is damaged: a {kind} matrix has {len(ROWS[kind])} rows, this has {rows.shape[0]}.")
    if not right[kind].all():
        column = int(right[kind].all(axis=0).argmin())
        numbers = " ".join(f"{value:g}" for value in rows[:, column])
        raise DataError(f"{path} is damaged: column {column + 1} holds {numbers}; rows are: {'; '.join(ROWS[kind])}.")
    return rows


def _settings(line: str) -> dict[str, Any]:
    """`model=resnet18 seed=0 …` as settings of the types that a run stores; `stem` is an argument of the model now."""
    told = settings_in(line)
    stem = told.pop("stem", "standard")
    found = {name: _typed(name, value) for name, value in told.items()}
    return found if stem == "standard" else {**found, "model_arg": [f"stem={stem}"]}


def _typed(name: str, value: str) -> Any:
    kind = field_types()[name]
    try:
        if name in (*LISTS, "text_column"):
            return list(msgspec.convert(ast.literal_eval(value), kind))
        return without_folder(msgspec.convert(value, kind, strict=False))
    except (msgspec.ValidationError, SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return value
