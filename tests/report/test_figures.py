"""Figures are those of the records: means, intervals over seeds and over test samples, shares, times."""

from __future__ import annotations

from math import isnan, sqrt
from statistics import fmean, stdev

import pytest

from prunebench.report.figures import Speedup, axes_of, by_family, figures
from prunebench.report.sources import gather
from prunebench.results.curves import AXES, Curve, by_settings, curves_of
from prunebench.runs.index import all_runs
from prunebench.statistics import wilson

T_TWO_DEGREES = 4.302652729749464
"""97.5th percentile of Student's t with two degrees of freedom, from tables."""


def groups_of(root):
    runs = gather(str(root)).runs
    families = by_family(by_settings(curves_of(runs, all_runs(root))))
    return {group.label: group for groups in families.values() for group in figures(groups)}


def test_a_row_holds_the_mean_over_seeds_with_students_interval(study):
    row = groups_of(study)["structured l2"].rows[2]
    scores = [(300 + 2 * seed) / 360 for seed in range(3)]
    half = T_TWO_DEGREES * stdev(scores) / sqrt(3)
    assert (row.step, row.n) == (2, 3)
    assert row.after.mean == pytest.approx(fmean(scores))
    assert (row.after.low, row.after.high) == pytest.approx((fmean(scores) - half, fmean(scores) + half))
    assert row.wilson == pytest.approx(wilson(fmean(scores), 360))
    assert row.before.mean == pytest.approx(198 / 360)


def test_shares_are_of_the_unpruned_model_and_absolute_numbers_stand_beside(study):
    row = groups_of(study)["structured l2"].rows[1]
    assert row.left["left"] == pytest.approx(0.9)
    assert row.left["units"] == pytest.approx(0.9)
    assert row.params == 100 + 90**2
    assert row.left["params"] == pytest.approx((100 + 90**2) / (100 + 100**2))
    assert row.left["macs"] == pytest.approx(0.81)


def test_macs_without_those_of_masked_weights_are_a_mean_where_every_seed_has_them(make_record):
    def row(*found):
        settings = {"model": "tiny", "dataset": "digits", "method": "unstructured"}
        columns = [(0,), (0.5,), (0.5,), (0.5,), (0.5,), dict.fromkeys(AXES, (1.0,)), (360,)]
        curves = [
            Curve("run", settings, seed, *columns, (make_record(effective_macs=macs),))
            for seed, macs in enumerate(found)
        ]
        ((group,),) = [figures([curves])]
        return group.rows[0]

    assert row(100, 300).effective_macs == 200
    assert row(100, None).effective_macs is None
    assert row(100).macs == make_record().macs


def test_times_are_those_of_the_seed_that_was_timed_and_the_unpruned_model_is_as_quick_as_itself(study):
    groups = groups_of(study)
    ms = [row.timed["latency@4"].ms for row in groups["structured l2"].rows]
    assert ms == [10.0, 8.0, 5.0]
    last = groups["structured l2"].rows[2]
    assert last.timed["latency@4"] == Speedup(5.0, 2.0, 2.0, 2.0)
    assert last.left["latency@4"] == 0.5
    assert groups["unstructured l1"].rows[2].timed == {}
    assert axes_of(list(groups.values())) == ["left", "units", "params", "macs", "latency@4"]


def test_one_seed_has_no_interval_and_says_n_1(tmp_path, pruned):
    pruned(tmp_path, seed=7)
    (group,) = groups_of(tmp_path).values()
    assert group.seeds == (7,)
    row = group.rows[1]
    assert (row.n, row.after.mean) == (1, (331 + 14) / 360)
    assert isnan(row.after.low)
    assert isnan(row.after.high)


def test_a_step_that_some_seeds_lack_counts_those_that_have_it(tmp_path, pruned):
    pruned(tmp_path, seed=0)
    pruned(tmp_path, seed=1, steps=2)
    (group,) = groups_of(tmp_path).values()
    assert [row.n for row in group.rows] == [2, 2, 1]


def test_families_are_kept_apart_and_controls_come_last(tmp_path, pruned):
    for method, model in (("none", "tiny"), ("structured", "tiny"), ("structured", "other")):
        pruned(tmp_path, method=method, model=model)
    runs = gather(str(tmp_path)).runs
    families = by_family(by_settings(curves_of(runs, [])))
    assert list(families) == ["other on digits", "tiny on digits"]
    assert [group[0].is_control for group in families["tiny on digits"]] == [False, True]
    assert [group.label for group in figures(families["tiny on digits"])][1] == "dense, same epochs"
