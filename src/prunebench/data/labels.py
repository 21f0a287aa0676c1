"""Labels of text files: what is a label, which ones are one class, and what is asked about before it is believed."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from prunebench.data.decoding import shortened

MISSING = {"nan", "null", "None", "<na>", "n/a", "#n/a", "NA"}
"""What programs write where there is nothing, in letters of either case where it is in small ones."""

NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d{1,9})?")
_POINT = re.compile(r"[+-]?\d+\.\d*([eE][+-]?\d{1,3})?")
_LISTED = re.compile(r"[\[({].*[\])}]", re.DOTALL)

FEW = 20
"""Where fewer than one label in so many is of another kind than the rest, it is asked about."""


class Labelled(NamedTuple):
    """A label as it is compared, and the line of its row."""

    label: str
    line: int


def is_missing(text: str) -> bool:
    """Whether a field holds nothing, or what stands for nothing."""
    bare = text.strip()
    return not bare or bare in MISSING or bare.lower() in MISSING


def label_of(value: Any, trust: bool = False) -> tuple[str, str]:
    """A label as it is compared, and what is wrong with it (else empty); `1`, `1.0` and `1.00e+00` are one.

    `trust` takes words that stand for nothing, such as NA, as labels.
    """
    if isinstance(value, (list, dict)):
        return "", f"the label is {'a list' if isinstance(value, list) else 'an object'}, but a sample has one class"
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "", f"the label is {'null' if value is None else 'NaN or infinite'}"
    bare = str(value).lower() if isinstance(value, bool) else str(value).strip()  # as JSON writes them
    if not bare:
        return "", "the label is empty"
    if isinstance(value, str) and is_missing(bare) and not trust:
        return "", f"the label is {bare}, which stands for none (insist with --trust-data)"
    return _whole(bare), ""


def _whole(text: str) -> str:
    """`1` of `1.0`; what is no whole number, or is written without a point, as it is."""
    if _POINT.fullmatch(text) and (number := Decimal(text)) == number.to_integral_value():  # exact, as floats are not
        return str(int(number))
    return text


def class_names(labels: Sequence[Labelled]) -> list[str]:
    """The classes of labels: short ones first, so that numbers keep their order."""
    return sorted({each.label for each in labels}, key=lambda name: (len(name), name))


def questions(labels: Sequence[Labelled]) -> Iterator[tuple[int, str]]:
    """What is unlikely of the labels of a training file, each with the line where it shows first."""
    first: dict[str, int] = {}
    for label, line in labels:
        first.setdefault(label, line)
    counts = Counter(each.label for each in labels)
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in first:
        kinds[_kind(name)].append(name)
    if found := kinds["fraction"]:
        yield first[found[0]], f"the label {found[0]!r} is no whole number; classes are names or whole numbers"
    if found := kinds["list"]:
        yield first[found[0]], f"the label {shortened(found[0])} looks like a list; a sample has one class"
    yield from _mixed(kinds, first, counts)
    yield from _alike(first)
    single = [name for name, count in counts.items() if count == 1]
    if 2 * len(single) > len(counts) > 2:
        yield (
            first[single[0]],
            f"{len(single)} of {len(counts)} classes have a single sample, such as {shortened(single[0])}, so "
            f"this may not be the column of labels",
        )


def _kind(name: str) -> str:
    if name.casefold() in ("true", "false"):
        return "truth value"
    if NUMBER.fullmatch(name):
        plain = "." not in name and "," not in name
        return "number" if plain and ("e" not in name.casefold() or float(name).is_integer()) else "fraction"
    return "list" if _LISTED.fullmatch(name) else "name"


def _mixed(kinds: dict[str, list[str]], first: dict[str, int], counts: Counter[str]) -> Iterator[tuple[int, str]]:
    """Truth values beside others, and a few names beside numbers or the other way round."""
    if len(present := {kind: names for kind, names in kinds.items() if names}) < 2:
        return
    total = counts.total()
    samples = {kind: sum(counts[name] for name in names) for kind, names in present.items()}
    rare = min(present, key=lambda kind: samples[kind])
    rest = next(kind for kind in present if kind != rare)
    single = all(counts[name] == 1 for name in present[rare])
    if "truth value" in present or samples[rare] * FEW < total or single:
        odd, usual = present[rare][0], present[rest][0]
        others = f"others are {rest}s, such as {shortened(usual)}, and each label is a class of its own"
        yield first[odd], f"the label {shortened(odd)} is a {rare}, but {others}"


def _alike(first: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Labels that differ in nothing but how they are written."""
    for name, other in alike(first):
        yield first[name], f"the label {name!r} differs from {other!r} only in how it is written"
        return


def alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that differ from an earlier one in nothing but how they are written, each with that one."""
    seen: dict[str | Decimal, str] = {}
    for name in names:
        number = NUMBER.fullmatch(name) and "," not in name
        key = Decimal(name) if number else _folded(name)
        if key in seen:
            yield name, seen[key]
        seen.setdefault(key, name)


def _folded(name: str) -> str:
    """A name without what names may differ in that are meant as one: case, spaces, and forms of letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
