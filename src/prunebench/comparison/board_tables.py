"""Boards as text: aligned for the terminal, and as Markdown for a page of documentation."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from math import isnan

from prunebench.comparison.board import ALPHA, Board, Paired, Row, Spread, Table
from prunebench.comparison.tables import WIDTH
from prunebench.results.tables import align


def text(found: Board) -> str:
    """Every table for the terminal, areas in one of their own below it, and what its columns mean."""
    blocks = [textwrap.fill(line, WIDTH) for line in found.told]
    for table in found.tables:
        heads, rows = cells(table)
        first, last = _places(heads)
        parts = [align([[row[i] for i in first] for row in (heads, *rows)], left=2)]
        if table.axis:
            parts.append(align([[row[i] for i in last] for row in (heads, *rows[: len(table.rows)])], left=1))
        blocks.append("\n".join([table.title, *parts, textwrap.fill(about(table), WIDTH)]))
    if not found.tables:
        blocks.append("No run of it is finished yet.")
    notes = [textwrap.fill(note, WIDTH) for note in explained(found)]
    return "\n\n".join([*blocks, "\n".join(notes)])


def markdown(found: Board) -> str:
    """Every table in Markdown, below a heading each; differences that are told apart are bold."""
    blocks = list(found.told)
    for table in found.tables:
        heads, rows = cells(table, bold="**")
        ruler = ["---:", "---", *["---:"] * (len(heads) - 2)]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in (heads, ruler, *rows))
        blocks.append(f"## {table.title}\n\n{lines}\n\n{about(table)}")
    return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in explained(found))]) + "\n"


def _places(heads: Sequence[str]) -> tuple[list[int], list[int]]:
    """The columns of a table but for areas, and those of areas with the criterion."""
    areas = [i for i, head in enumerate(heads) if head.startswith("area")]
    return [i for i in range(len(heads)) if i not in areas], [heads.index("criterion"), *areas]


def cells(table: Table, bold: str = "") -> tuple[list[str], list[list[str]]]:
    """The heads and rows of a table; differences that are told apart between `bold` signs."""
    heads = ["rank", "criterion", table.metric]
    for other in table.against:
        heads += [f"− {other}", "p"]
    if table.axis:
        heads += ["area", *(f"area − {other}" for other in table.against)]
    heads.append("seconds")
    rows = [[rank(row), row.criterion, *_row(table, row, bold), f"{row.seconds:.2g}"] for row in table.rows]
    empty = [""] * (len(heads) - 3)
    return heads, [*rows, *(["", line.name, spread(line.score), *empty] for line in table.lines)]


def about(table: Table) -> str:
    """What is left after the last step, how many comparisons are corrected for, and what lacks runs."""
    left = " and ".join(f"{100 * share:.3g} % of the {name}" for name, share in _left(table))
    seeds = sorted({row.score.n for row in table.rows})
    n = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    told = [f"{left} are left; {n} seed{'s' * (seeds[-1] > 1)}; corrected for {table.together} comparisons."]
    if table.axis:
        told.append(f"Area: over the {table.axis} left, from 1 down to {table.down_to:.3g}.")
    if table.missing:
        told.append(f"{table.missing} comparisons lack runs, and are corrected for all the same.")
    if table.absent:
        told.append(f"No run is finished of {', '.join(table.absent)}.")
    return " ".join(told)


def explained(found: Board) -> Iterator[str]:
    """What the columns mean, in plain sentences."""
    if not found.tables:
        return
    metric, ranked = found.tables[0].metric, sorted({table.ranked for table in found.tables})
    points = " in points" * found.tables[0].share
    yield (
        f"{metric.capitalize()}: of test data after the last step, mean over seeds with its 95 % interval (Student's "
        f"t); they share one test set. Differences{points} are paired by seed; their intervals hold together for all "
        "that are corrected together, in 95 % (Bonferroni); p: paired t test, corrected for as many (Holm). Told "
        f"apart: p ≤ {ALPHA}; that finds a little more than intervals do, so one of two told apart may reach zero."
    )
    yield (
        "Rank: those that a criterion may have, from 1 + how many of the table are better to how many are not worse, "
        f"of every two ({' or '.join(map(str, ranked))} paired t tests, corrected for by themselves, Holm; Mogstad et "
        "al. 2024). Rows are in the order of their means, which by itself tells nothing."
    )
    if any(table.axis for table in found.tables):
        yield (
            "Area: under the curve of accuracy over what is left (trapezoids between steps), divided by its width: a "
            "mean accuracy. Its differences have intervals likewise, and are not tested."
        )
    yield (
        "Seconds: of a pruning step, median over steps and seeds: looking at data, scoring, ranking and removing, "
        "without what is trained after. `random` looks at nothing."
    )
    yield (
        "Unpruned: the dense model. Trained on, nothing removed: the same after as many epochs as what was pruned, "
        "which is what fine-tuning itself does."
    )


def rank(row: Row) -> str:
    """`1–4`, the ranks that a criterion may have; `5` where there is one."""
    best, worst = row.ranks
    return str(best) if best == worst else f"{best}–{worst}"


def spread(of: Spread) -> str:
    """`0.943 (0.921–0.965)`; `0.943` of one seed."""
    return f"{of.mean:.3f}" if isnan(of.low) else f"{of.mean:.3f} ({of.low:.3f}–{of.high:.3f})"


def difference(of: Paired | None, share: bool, bold: str = "") -> str:
    """`+1.4 (−7.3 to +10.0)`, in points of a share; `0 in every seed` where no spread was seen."""
    if of is None:
        return "–"
    if isnan(of.low):
        return f"{_signed(of.difference, share)} in every seed" if of.difference else "0 in every seed"
    said = f"{_signed(of.difference, share)} ({_signed(of.low, share)} to {_signed(of.high, share)})"
    return f"{bold}{said}{bold}" if of.told else said


def p_value(of: Paired | None) -> str:
    """`0.031`; `<0.001`."""
    if of is None or isnan(of.p):
        return ""
    return "<0.001" if of.p < 0.001 else f"{of.p:.2g}" if of.p < 0.995 else "1"


def _row(table: Table, row: Row, bold: str) -> list[str]:
    found = [spread(row.score)]
    for of in row.against:
        found += [difference(of, table.share, bold), p_value(of)]
    if table.axis:
        found.append(spread(row.area) if row.area else "")
        found += [difference(of, table.share) for of in row.area_against]
    return found


def _left(table: Table) -> Sequence[tuple[str, float]]:
    names = {"params": "parameters", "macs": "MACs"}
    return [(names[axis], share) for axis, share in table.left.items() if share < 1]


def _signed(value: float, share: bool) -> str:
    text = f"{100 * value:+.1f}" if share else f"{value:+.4f}"
    return text.replace("-", "−").replace("−0.0", "0.0") if float(text) == 0 else text.replace("-", "−")
