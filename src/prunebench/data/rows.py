"""Rows: what .tsv, .csv and .jsonl files hold, plain or .gz, each row with the line on which it begins.

A .tsv is read without quoting, as GLUE's are; a .csv with double quotes, in which a quote is doubled and lines may
break (RFC 4180); a .jsonl has one object a line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunebench.data.decoding import decoded, doubt, line_of, shortened
from prunebench.errors import ConfigError, DataError

KINDS = (".tsv", ".csv", ".jsonl")
SUFFIXES = tuple(kind + packed for kind in KINDS for packed in ("", ".gz"))

DELIMITERS = {".tsv": "\t", ".csv": ","}

LARGEST_FIELD = 2**31 - 1
"""Characters of a field that csv is asked to read; the most that it can be told on every platform."""

_QUOTED = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
_BARE = re.compile(r"[^,\r\n]*+")
_WHOLE = re.compile(r"\s*(\[\s*\{|\{\s*[\r\n])")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the lines from which to which it goes, its fields by place or by name, and what is wrong with it."""

    line: int
    last: int
    fields: Sequence[str] | dict[str, Any]
    fault: str = ""


@dataclass(frozen=True)
class Table:
    """A file's rows, and what its columns are called: by the header, by numbers from 1 without one, or by keys.

    Attributes:
        line: where the header is, or the first row.
        headed: whether columns have names.
        trusted: what was unlikely of the encoding, and was taken on trust.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]
    line: int = 1
    headed: bool = True
    trusted: str = ""

    @property
    def is_json(self) -> bool:
        """Whether fields are found by name, since they have no order."""
        return kind_of(self.path) == ".jsonl"


def kind_of(path: Path) -> str:
    """`.csv` of `train.csv.gz`."""
    return Path(path.name.removesuffix(".gz")).suffix


def read(path: Path, *, header: bool = True, encoding: str | None = None, trust: bool = False) -> Table:
    """The table of a file. Blank lines hold nothing.

    Args:
        path: a file that ends with one of SUFFIXES.
        header: whether the first row names the columns; a .jsonl has none.
        encoding: as Python calls it; None is UTF-8.
        trust: read a file as `encoding` that is likely in another.

    Raises:
        DataError: the file cannot be read, or quotes in it do not match. Other faults are told by the rows.
    """
    text = decoded(path, encoding, trust=trust)
    trusted = doubt(path, encoding) if trust and encoding else ""
    if kind_of(path) == ".jsonl":
        if not header:
            raise ConfigError(f"--no-header: {path.name} has none, since each line names its fields; leave it out.")
        return _objects(path, text, trusted)
    found = _tabbed(text) if kind_of(path) == ".tsv" else _commas(path, text)
    found = [row for row in found if len(row[2]) > 1 or row[2][0].strip()]
    first = found[0][0] if found else 1
    names = tuple(name.strip() for name in found.pop(0)[2]) if header and found else ()
    columns = names or tuple(str(i + 1) for i in range(len(found[0][2]) if found else 0))
    rows = [Row(line, last, fields, _miscounted(path, fields, columns, header)) for line, last, fields in found]
    return Table(path, columns, rows, first, header, trusted)


def _miscounted(path: Path, fields: Sequence[str], columns: Sequence[str], header: bool) -> str:
    """What is wrong with a row's number of fields; empty where nothing is."""
    if len(fields) == len(columns):
        return ""
    mark = DELIMITERS[kind_of(path)]
    count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
    of = f"under {len(columns)} columns ({', '.join(columns)})" if header else f"where the first row has {len(columns)}"
    if len(fields) < len(columns):
        advice = "Complete the row or leave it out"
    elif mark == ",":
        advice = 'Put a text that holds commas into double quotes: "…"'
    else:
        advice = "Put a space for a tab inside a text: a .tsv is read without quoting"
    return f"{count} {of}: {shortened(mark.join(fields))}. {advice}."


def _tabbed(text: str) -> list[tuple[int, int, Sequence[str]]]:
    lines = enumerate(io.StringIO(text, newline=""), 1)
    bare = ((number, line.rstrip("\r\n")) for number, line in lines)
    return [(number, number, line.split("\t")) for number, line in bare]


def _commas(path: Path, text: str) -> list[tuple[int, int, Sequence[str]]]:
    found: list[tuple[int, int, Sequence[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    before = 0
    try:
        with _fields_of_any_size():
            for fields in reader:
                if fields:
                    found.append((before + 1, reader.line_num, fields))
                before = reader.line_num
    except csv.Error as error:
        raise DataError(_misquoted(path, text, before, reader.line_num) or f"{path}:{before + 1}: {error}.") from error
    return found


@contextmanager
def _fields_of_any_size() -> Iterator[None]:
    """Within it csv reads fields of more than its 131,072 characters: texts are cut at tokens, not here."""
    usual = csv.field_size_limit(LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _misquoted(path: Path, text: str, before: int, reached: int) -> str:
    """What is wrong with the quotes of the row that begins after the line `before`, where csv gave up at `reached`."""
    raw = "".join(line for number, line in enumerate(io.StringIO(text, newline=""), 1) if before < number <= reached)
    place = 0
    while place < len(raw):
        quoted = raw[place] == '"'
        found = (_QUOTED if quoted else _BARE).match(raw, place)
        line = before + line_of(raw, place)
        if found is None:
            return (
                f"{path}:{line}: the quote that opens in this line is never closed: {shortened(raw[place:].strip())}. "
                f"Close it, or double each quote that is part of a text."
            )
        end = found.end()
        if quoted and raw[end : end + 1] not in ("", ",", "\r", "\n"):
            ends = before + line_of(raw, end)
            where = "" if ends == line else f" in line {ends}"
            return (
                f"{path}:{line}: the quote that opens in this line is closed{where} before the field ends: "
                f"{shortened(raw[place : end + 20].strip())}. Double each quote that is part of a text, or close it."
            )
        place = end + 1
    return ""


def _objects(path: Path, text: str, trusted: str) -> Table:
    if _WHOLE.match(text):
        raise DataError(f"{path} is JSON as a whole; a .jsonl has an object a line. Write each sample on its own line.")
    rows = [
        _object(number, line.strip()) for number, line in enumerate(io.StringIO(text, newline=""), 1) if line.strip()
    ]
    columns = dict.fromkeys(name for row in rows for name in row.fields)
    return Table(path, tuple(columns), rows, rows[0].line if rows else 1, trusted=trusted)


def _object(number: int, line: str) -> Row:
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in found if names.count(name) > 1)
        return found

    try:
        found = json.loads(line, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        why = f"{error.msg} at character {error.pos + 1}"
        return Row(number, number, {}, f"cannot be read as JSON: {why}: {shortened(line)}.")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        why = str(error).partition(";")[0]
        return Row(number, number, {}, f"cannot be read as JSON: {why}: {shortened(line)}.")
    if not isinstance(found, dict):
        return Row(number, number, {}, f"each line must be a JSON object with text and label: {shortened(line)}.")
    if twice:
        return Row(number, number, found, f"names {twice[0]!r} twice: {shortened(line)}. Leave one out.")
    if "\\ud" in line.lower() and _has_half(found):
        half = "holds half of a character (a lone surrogate)"
        return Row(number, number, found, f"{half}: {shortened(line)}. Write the whole one, or leave it out.")
    return Row(number, number, found)


def _has_half(fields: dict[str, Any]) -> bool:
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
