"""Columns: which of a table's are the text and the label, by name or number, and each row's sample."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prunebench.data.decoding import shortened
from prunebench.data.labels import is_missing, label_of
from prunebench.data.rows import Row, Table
from prunebench.errors import DataError

TEXT_COLUMNS = ("text", "sentence")
LABEL_COLUMN = "label"

Key = int | str
"""A place in a row, or of JSON the name of a field."""


@dataclass(frozen=True)
class Columns:
    """Where the parts of a text and the label are in a row."""

    text: tuple[Key, ...]
    label: Key

    def named(self, table: Table) -> list[str]:
        """What they are called: of the text, then of the label."""
        return [key if isinstance(key, str) else table.columns[key] for key in (*self.text, self.label)]


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and its label as it is compared, or what is wrong with the row that should hold them.

    Attributes:
        converted: what was read as something else than it is written: "number" of a text, "point" of a label; and
            what stands for nothing and was taken on trust, "no text" and "no label".
    """

    line: int
    text: str = ""
    label: str = ""
    fault: str = ""
    converted: tuple[str, ...] = ()


def choose(table: Table, text: Sequence[str], label: str | None, advice: str = "") -> Columns:
    """The columns of a table that has rows, by names or numbers from 1; `text` or `sentence`, and `label`, by default.

    Raises:
        DataError: a column is missing or ambiguous, or is to be both.
    """
    if not table.headed and not (text and label):
        raise DataError(
            f"{table.path}: --no-header needs --text-column and --label-column as numbers; the first row is "
            f"{shortened(', '.join(map(str, table.rows[0].fields)))}."
        )
    usual = [name for name in TEXT_COLUMNS if name in table.columns][:1]
    names = [*(text or usual), label or LABEL_COLUMN]
    missing = ["text"] * (not (text or usual)) + ["label"] * (not (label or LABEL_COLUMN in table.columns))
    if missing:
        raise DataError(f"{table.path}:{table.line}: {_needs(table, missing, advice)}")
    *texts, of_label = [_key(table, name, advice) for name in names]
    if of_label in texts or len(set(texts)) < len(texts):
        raise DataError(
            f"{table.path}: --text-column {' '.join(text)} and --label-column {label or LABEL_COLUMN} name one column "
            f"twice; it has: {_has(table)}."
        )
    return Columns(tuple(texts), of_label)


def _key(table: Table, name: str, advice: str) -> Key:
    """Where a column is: by its name, else by its number."""
    if table.columns.count(name) > 1 and table.headed:
        raise DataError(
            f"{table.path}:{table.line}: several columns are called {name!r}; give the number of one: {_has(table)}."
        )
    if table.headed and name in table.columns:
        return name if table.is_json else table.columns.index(name)
    if name.isdecimal() and len(name) < 9 and 1 <= int(name) <= len(table.columns) and not table.is_json:
        return int(name) - 1
    near = difflib.get_close_matches(name, table.columns, n=1)
    hint = f" Did you mean {near[0]!r}?" if near and table.headed else ""
    raise DataError(
        f"{table.path}:{table.line}: there is no column {shortened(name)}; it has: {_has(table)}.{hint}{advice}"
    )


def _needs(table: Table, missing: Sequence[str], advice: str) -> str:
    """What to do about a missing column of the "text", of the "label", or of both."""
    needed = {"text": "a column text (or sentence)", "label": "a column label"}
    told = f"needs {' and '.join(needed[name] for name in missing)}; has: {_has(table)}."
    one = len(table.columns) == 1 and next((mark for mark in ";\t|" if mark in table.columns[0]), None)
    if one:
        return f"{told} Its fields seem to be separated by {one!r}: save it with commas as .csv, or with tabs as .tsv."
    if any(len(name) > 1 and name[0] == name[-1] == '"' for name in table.columns) and not table.is_json:
        return f"{told} Quotes are part of names, since a .tsv is read without quoting: save it with commas as .csv."
    header = "" if table.is_json else ", or give --no-header with their numbers if this line is a sample"
    return f"{told} Name yours with {' and '.join(f'--{name}-column' for name in missing)}{header}.{advice}"


def _has(table: Table) -> str:
    if not table.headed:
        return f"{len(table.columns)} columns, by number"
    return ", ".join(shortened(name)[1:-1] for name in table.columns[:20])


def sample_of(row: Row, columns: Columns, trust: bool = False) -> Sample:
    """The sample of a row; parts of a text are joined by a space, empty ones left out.

    `trust` takes empty texts, and words that stand for nothing, as they are.
    """
    if row.fault:
        return Sample(row.line, fault=row.fault)
    parts, converted = [], []
    for key in columns.text:
        part, fault = _text_of(row, key)
        if fault:
            return _faulty(row, fault)
        converted += [] if isinstance(part, str) else ["number"]
        parts.append(str(part))
    text = parts[0] if len(parts) == 1 else " ".join(part for part in parts if part.strip())
    if is_missing(text):
        if not trust:
            what = f"is {text.strip()}, which stands for none" if text.strip() else "is empty"
            return _faulty(row, f"the text {what} (insist with --trust-data)")
        converted.append("no text")
    if not _holds(row, columns.label):
        return _faulty(row, f"has no {columns.label}")
    value = _value(row, columns.label)
    label, fault = label_of(value, trust)
    if fault:
        return _faulty(row, fault)
    pointed = not isinstance(value, bool) and str(value).strip() != label
    converted += ["no label"] if is_missing(label) else ["point"] if pointed else []
    return Sample(row.line, text, label, converted=tuple(converted))


def _faulty(row: Row, fault: str) -> Sample:
    shown = json.dumps(row.fields, ensure_ascii=False) if isinstance(row.fields, dict) else ", ".join(row.fields)
    return Sample(row.line, fault=f"{fault}: {shortened(shown)}. Complete the row, or leave it out.")


def _text_of(row: Row, key: Key) -> tuple[str | int | float, str]:
    """A part of a text, and what is wrong with it."""
    if not _holds(row, key):
        return "", f"has no {key}"
    value = _value(row, key)
    if isinstance(value, str):
        return value, ""
    if isinstance(value, float) and math.isfinite(value):
        return value, ""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, ""
    kinds = {type(None): "null", bool: "a truth value", list: "a list", dict: "an object"}
    return "", f"{key} is {kinds.get(type(value), 'NaN or infinite')} instead of a text"


def _holds(row: Row, key: Key) -> bool:
    return not isinstance(row.fields, dict) or key in row.fields


def _value(row: Row, key: Key) -> Any:
    return row.fields[key]  # type: ignore[index]
