"""Sentences from train and test files: .tsv, .csv or .jsonl with a text and a label column."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from prunebench.data.dataset import Dataset, Split, register
from prunebench.errors import DataError

TEXT_COLUMNS = ("text", "sentence")
SUFFIXES = (".tsv", ".csv", ".jsonl")


def files(data_dir: Path) -> Iterable[Path]:
    """The train and the test file."""
    return [_find(data_dir, ("train",)), _find(data_dir, ("test", "dev", "val"))]


@register(
    "text-file",
    "your sentences: train and test as .tsv, .csv or .jsonl in DATA_DIR",
    reads="text",
    files=files,
)
def load(data_dir: Path) -> Dataset:
    """`train.*` and `test.*` (or `dev.*`, `val.*`) with a header: `text` or `sentence`, and `label`.

    Labels are names or whole numbers; classes are the labels of the training file in order. A .tsv is read
    without quoting, as GLUE's are.

    Raises:
        DataError: a file or column is missing, a line is malformed, or test has a label that train has not.
    """
    return read_pair(*files(data_dir))


def read_pair(train: Path, test: Path) -> Dataset:
    """A Dataset of two files of sentences and labels."""
    rows = {path: list(_rows(path)) for path in (train, test)}
    names = sorted({label for _, label in rows[train]}, key=lambda name: (len(name), name))
    if unknown := {label for _, label in rows[test]} - set(names):
        raise DataError(f"{test} has labels that {train.name} has not: {', '.join(sorted(unknown)[:5])}.")
    splits = [
        Split([text for text, _ in rows[path]], [names.index(label) for _, label in rows[path]])
        for path in (train, test)
    ]
    return Dataset(splits[0], splits[1], names)


def _find(data_dir: Path, stems: tuple[str, ...]) -> Path:
    for stem in stems:
        for suffix in SUFFIXES:
            if (data_dir / (stem + suffix)).is_file():
                return data_dir / (stem + suffix)
    wanted = " or ".join(f"{stem}{suffix}" for stem in stems[:1] for suffix in SUFFIXES)
    raise DataError(f"{data_dir} has no {wanted}; point --data-dir at the folder that holds it.")


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in _parse(path, file):
                text = next((row[name] for name in TEXT_COLUMNS if row.get(name) is not None), None)
                if text is None or row.get("label") is None:
                    raise DataError(
                        f"{path}:{number}: needs a column text (or sentence) and a column label; "
                        f"has: {', '.join(map(str, row))}."
                    )
                yield str(text), str(row["label"]).strip()
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parse(path: Path, file: Iterable[str]) -> Iterator[tuple[int, dict[str, object]]]:
    if path.suffix == ".jsonl":
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: cannot be read as JSON: {error}") from error
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: each line must be a JSON object with text and label.")
            yield number, row
    else:
        tsv = path.suffix == ".tsv"
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if tsv else csv.DictReader(file)
        for row in rows:
            yield rows.line_num, dict(row)
