"""Verdicts are said with their figures, and one seed says that it cannot tell."""

from __future__ import annotations

from math import sqrt

import pytest
from scipy.special import stdtrit
from scipy.stats import nct

from prunebench.report.sources import gather
from prunebench.report.verdicts import comparisons
from prunebench.results.curves import by_settings, curves_of

T_TWO_DEGREES = 4.302652729749464
"""97.5th percentile of Student's t with two degrees of freedom, from tables."""


def compared(root):
    groups = by_settings(curves_of(gather(str(root)).runs, []))
    names = [f"{group[0].settings['method']}" for group in groups]
    return {(c.a, c.b): c for c in comparisons("tiny on digits", groups, names)}


def test_every_two_groups_are_compared_and_controls_stand_on_the_right(study):
    assert set(compared(study)) == {("structured", "unstructured"), ("structured", "none"), ("unstructured", "none")}


def test_a_sentence_tells_difference_interval_and_what_would_tell(tmp_path, pruned):
    for seed, more in enumerate((0, 9, -9)):
        pruned(tmp_path, seed=seed)
        pruned(tmp_path, method="unstructured", seed=seed, more=more)
    ((_, found),) = compared(tmp_path).items()
    row = next(row for row in found.rows if row.steps == "1")
    half = T_TWO_DEGREES * (9 / 360) / sqrt(3)  # differences −7 + (0, −9, 9)
    interval = f"−{7 / 360 + half:.4f} to {half - 7 / 360:.4f}"
    assert row.sentence == (
        f"indistinguishable at n=3 (difference −{7 / 360:.4f}, {interval}); "
        f"about {needed(7 / 9)} seeds would tell (80 %)"
    )


def needed(ratio):
    """The fewest seeds at which Student's interval of so large a mean over deviation leaves zero in four of five."""
    return next(n for n in range(2, 100) if nct.sf(stdtrit(n - 1, 0.975), n - 1, ratio * sqrt(n)) >= 0.8)


def test_the_headline_is_of_the_last_step_that_both_have(study):
    found = compared(study)["structured", "unstructured"]
    row = next(row for row in found.rows if row.steps == "2")
    assert found.headline == f"step 2, {row.measure}: {row.sentence}"
    assert (row.mean_a, row.mean_b) == pytest.approx((302 / 360, 338 / 360))
    assert row.n == 3
    assert "the same in every seed" in row.sentence


def test_one_seed_cannot_tell(tmp_path, pruned):
    pruned(tmp_path)
    pruned(tmp_path, method="unstructured")
    ((_, found),) = compared(tmp_path).items()
    assert all("one seed cannot tell" in row.sentence and row.n == 1 for row in found.rows)
    assert "to" not in found.rows[0].sentence.partition("(")[2].partition(")")[0]


def test_groups_without_a_common_seed_say_so(tmp_path, pruned):
    pruned(tmp_path, seed=0)
    pruned(tmp_path, method="unstructured", seed=1)
    ((_, found),) = compared(tmp_path).items()
    assert found.rows == ()
    assert "no seed, or no figure, in common" in found.headline
