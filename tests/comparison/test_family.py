"""A family of comparisons is every pair once, and tells when it was changed."""

from __future__ import annotations

import pytest

from prunebench.comparison.family import Cell, Family, Fixed, history

CELL = Cell(
    title="a cell",
    entries={name: (f"{name}-0", f"{name}-1") for name in ("l1", "random", "taylor", "wanda")},
    against=("l1", "random"),
    compared=("l1", "random", "taylor", "wanda"),
)


def fixed(finished, pairs, date="2026-01-02T03:04:05+00:00"):
    return Fixed(date=date, finished=finished, runs=9, pairs=pairs, digest=str(pairs), text=f"rule {pairs}")


def test_two_that_others_are_compared_with_are_compared_once():
    of_l1 = [("random", "l1"), ("taylor", "l1"), ("wanda", "l1")]
    assert CELL.pairs == [*of_l1, ("taylor", "random"), ("wanda", "random")]


@pytest.mark.parametrize(("together", "tests"), [("budget", 5), ("study", 10)])
def test_what_is_corrected_together_is_a_table_or_all(together, tests):
    family = Family(together=together, cells=(CELL, CELL))
    assert (family.size, family.corrected_with(CELL)) == (10, tests)


def test_the_digest_tells_of_comparisons_and_not_of_runs():
    family = Family(together="budget", cells=(CELL,))
    more = Cell(title="a cell", entries={**CELL.entries, "l1": ("l1-9",)}, against=CELL.against, compared=CELL.compared)
    fewer = Cell(title="a cell", entries=CELL.entries, against=("l1",), compared=CELL.compared)
    assert Family(together="budget", cells=(more,)).digest == family.digest
    assert len({family.digest, Family(together="study", cells=(CELL,)).digest}) == 2
    assert Family(together="budget", cells=(fewer,)).digest != family.digest


def test_a_change_after_runs_were_finished_is_told_as_a_warning():
    assert history([]) == []
    (first,) = history([fixed(0, 5)])
    assert first == "The study's file fixed these comparisons on 2026-01-02, before any run was finished."
    (late, change) = history([fixed(2, 5), fixed(4, 3, "2026-02-02T00:00:00+00:00")])
    assert late.endswith("when 2 runs were finished already.")
    assert change == (
        "Warning: they were changed on 2026-02-02, when 4 of 9 runs were finished: "
        "from 5 comparisons (rule 5) to 3 (rule 3)."
    )
