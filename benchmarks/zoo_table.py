"""The zoo's table: a row per family, what is not whole and why, and totals per library, as Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]

LEAST = 0.75
"""Pruning that leaves more of the multiply-accumulates than this is hardly worth it."""

COLUMNS = (
    *("family", "models", "prunebench", "MACs left", "MACs in layers that keep all units", "pruned − masked"),
    *("seconds", "torch-pruning", "its MACs left"),
)
PASSES = ("whole", "partly")
VERDICTS = ("whole", "partly", "refused", "wrong", "traceback", "does not end", "too large", "died", "not judged")
RIVAL = ("equal", "differs", "nothing goes", "traceback", "does not end", "too large", "died", "not judged")


def table(rows: Sequence[Row]) -> str:
    """All of it."""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    return "\n".join(line for library in libraries for line in _library(library, rows))


def _library(library: str, rows: Sequence[Row]) -> Iterator[str]:
    ours = [row for row in rows if row["library"] == library and row["side"] == "prunebench"]
    theirs = [row for row in rows if row["library"] == library and row["side"] == "torch-pruning"]
    yield f"### {library}\n"
    yield from totals(ours, theirs)
    yield ""
    if library != "hard":
        yield "| " + " | ".join(COLUMNS) + " |"
        yield "|---|---:|---|---:|---:|---:|---:|---|---:|"
        for family in dict.fromkeys(row["family"] for row in ours):
            yield _family(family, *([row for row in side if row["family"] == family] for side in (ours, theirs)))
        yield ""
    yield from missing(ours)
    yield ""


def totals(ours: Sequence[Row], theirs: Sequence[Row]) -> Iterator[str]:
    """How many came to what."""
    found = Counter(row["verdict"] for row in ours)
    passed = [row for row in ours if row["verdict"] in PASSES]
    small = sum(row["macs_left"] <= LEAST for row in passed)
    told = ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict])
    yield f"{len(ours)} models: {told}. At most {LEAST:.0%} of the MACs are left in {small} of {len(passed)}."
    if theirs:
        found = Counter(row["verdict"] for row in theirs)
        narrow = sum(bool(row.get("excused")) for row in theirs if row["verdict"] == "differs")
        told = ", ".join(f"{found[verdict]} {verdict}" for verdict in RIVAL if found[verdict])
        norms = f" ({narrow} of those that differ with narrower layer or group norms)" if narrow else ""
        yield f"\ntorch-pruning's pruner on {len(theirs)}: {told}{norms}."


def _family(family: str, ours: Sequence[Row], theirs: Sequence[Row]) -> str:
    cells = [
        family,
        str(len(ours)),
        _verdicts(ours),
        _share(ours, "macs_left"),
        _share(ours, "macs_kept"),
        _largest(ours),
        _seconds(ours),
        _verdicts(theirs),
        _share(theirs, "macs_left"),
    ]
    return "| " + " | ".join(cells) + " |"


def _verdicts(rows: Sequence[Row]) -> str:
    found = Counter(row["verdict"] for row in rows)
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())


def _range(values: Sequence[float], form: str) -> str:
    low, high = (format(value, form) for value in (min(values), max(values)))
    return low if low == high else f"{low}–{high}"


def _share(rows: Sequence[Row], key: str) -> str:
    values = [100 * row[key] for row in rows if row.get(key) is not None]
    return f"{_range(values, '.0f')} %" if values else ""


def _largest(rows: Sequence[Row]) -> str:
    values = [row["difference"] for row in rows if row.get("difference") is not None]
    return f"{max(values):.0e}" if values else ""


def _seconds(rows: Sequence[Row]) -> str:
    values = [row["seconds"] for row in rows if row.get("seconds") is not None]
    return _range(values, ".1f") if values else ""


def missing(rows: Sequence[Row]) -> Iterator[str]:
    """What is not whole, worst first, and why."""
    worst = ("wrong", "traceback", "died", "does not end", "too large", "not judged", "refused", "partly")
    for verdict in worst:
        for row in rows:
            if row["verdict"] == verdict:
                spared = "; ".join(f"{_some(names)} ({why})" for why, names in row.get("spared", {}).items())
                told = re.sub(r" \([^()]*, line \d+\)", "", row.get("why") or "")
                yield f"- {row['name']}: {verdict}: {told if verdict != 'partly' else spared}"


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(f"`{name}`" for name in names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))
