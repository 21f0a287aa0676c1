"""Verdicts in words: which of two groups is better, how sure that is, and how many seeds would tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan

import msgspec

from prunebench.comparison.tables import word
from prunebench.comparison.verdicts import Verdict, common_seeds, compare, corrected, pairs, telling
from prunebench.results.curves import Curve, Replicates


class VerdictRow(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict: the means of both, and what their difference says of A.

    `steps` are those of both (see Verdict); `p` is corrected for all verdicts of its family.
    """

    measure: str
    steps: str
    n: int
    mean_a: float
    mean_b: float
    sentence: str
    p: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two groups of one family, the verdict on the last step that most seeds have, and every other one."""

    family: str
    a: str
    b: str
    headline: str
    rows: tuple[VerdictRow, ...]


def comparisons(family: str, groups: Sequence[list[Curve]], names: Sequence[str]) -> list[Comparison]:
    """Every two groups of a family; `names` are what they are called."""
    called: Mapping[int, str] = {id(group): name for group, name in zip(groups, names, strict=True)}
    compared = [((a, b), _compared(a, b, (called[id(a)], called[id(b)]))) for a, b in pairs(groups)]
    together = iter(corrected([verdict for _, verdicts in compared for verdict in verdicts]))
    found = []
    for (a, b), verdicts in compared:
        mine = [next(together) for _ in verdicts]
        found.append(
            Comparison(
                family=family,
                a=called[id(a)],
                b=called[id(b)],
                headline=_headline(mine),
                rows=tuple(_row(verdict) for verdict in mine),
            )
        )
    return found


def sentence(verdict: Verdict) -> str:
    """`indistinguishable at n=3 (difference 0.0040, −0.0100 to 0.0180); about 12 seeds would tell (80 %)`."""
    said, semicolon, more = word(verdict).partition("; ")
    between = f", {_number(verdict.low)} to {_number(verdict.high)}"
    if isnan(verdict.low):
        between = ", the same in every seed" if verdict.n > 1 and not verdict.bounded else ""
    return f"{said} (difference {_number(verdict.difference)}{between}){semicolon}{more}"


def _compared(a: Replicates, b: Replicates, names: tuple[str, str]) -> list[Verdict]:
    return compare(a, b, names) if common_seeds(a, b) else []


def _headline(verdicts: Sequence[Verdict]) -> str:
    """What the last step says that most seeds have; else the first verdict."""
    if not verdicts:
        return "nothing to compare: no seed, or no figure, in common"
    chosen = telling(verdicts) or verdicts[0]
    where = f"step {chosen.steps}, {chosen.measure}" if chosen.steps else chosen.measure
    return f"{where}: {sentence(chosen)}"


def _row(verdict: Verdict) -> VerdictRow:
    return VerdictRow(
        measure=verdict.measure,
        steps=verdict.steps,
        n=verdict.n,
        mean_a=verdict.mean_a,
        mean_b=verdict.mean_b,
        sentence=sentence(verdict),
        p=verdict.p_holm,
    )


def _number(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")
