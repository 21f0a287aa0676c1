"""Boards: what the file fixed is compared and corrected, and nothing is told apart that the seeds do not tell."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import msgspec
import pytest
from scipy import stats

from prunebench.comparison.board import board
from prunebench.comparison.family import Cell, Family, Fixed
from prunebench.records import METRICS, Seconds
from prunebench.results.curves import Curve
from prunebench.statistics import holm

SEEDS = range(5)


@pytest.fixture
def made(make_record):
    """Makes a family of one cell and its curves: criterion → accuracy after the only step, a seed each."""

    def make(scores, *, method="structured", together="budget", metric="top1", against=("l1", "random"), lines=()):
        def curve(name, seed, score):
            left = 1.0 if name == "none" else 0.4
            seconds = make_record(1, seconds=Seconds(prune=float(len(name))))
            return Curve(
                name=f"{name}-{seed}",
                settings={"method": "none" if name == "none" else method},
                seed=seed,
                steps=(0, 1),
                before=(0.9, 0.1),
                after=(0.9, score),
                train_before=(0.9, 0.1),
                train_after=(0.9, score),
                axes={
                    "left": (1.0, left),
                    "macs": (1.0, left if method == "structured" else 1.0),
                    "params": (1.0, left),
                },
                tested=(100, 100),
                records=(make_record(0), seconds),
                metric=METRICS[metric],
            )

        entries = {name: tuple(f"{name}-{seed}" for seed in SEEDS) for name in scores}
        cell = Cell(title="one", entries=entries, against=against, compared=tuple(entries), controls=tuple(lines))
        curves = [curve(name, seed, score) for name, of in scores.items() for seed, score in enumerate(of)]
        curves += [curve("none", seed, 0.95) for seed, _ in enumerate(lines)]
        return Family(together=together, cells=(cell,)), curves

    return make


APART = {
    "l1": (0.80, 0.81, 0.79, 0.80, 0.82),
    "random": (0.50, 0.52, 0.49, 0.51, 0.50),
    "taylor": (0.81, 0.80, 0.80, 0.81, 0.81),
    "wanda": (0.90, 0.905, 0.895, 0.90, 0.91),
}


PAIRS = [("random", "l1"), ("taylor", "l1"), ("wanda", "l1"), ("taylor", "random"), ("wanda", "random")]


def p_of(a, b):
    return stats.ttest_rel(APART[a], APART[b]).pvalue


def rows_of(found):
    (table,) = found.tables
    return table, {row.criterion: row for row in table.rows}


def ranks_of(rows):
    return {name: row.ranks for name, row in rows.items()}


def test_a_difference_has_the_interval_of_bonferroni_and_the_p_of_holm(made):
    table, rows = rows_of(board(*made(APART)))
    assert table.together == 5
    differences = [a - b for a, b in zip(APART["taylor"], APART["l1"], strict=True)]
    of_l1 = rows["taylor"].against[0]
    reach = stats.t.ppf(1 - 0.025 / 5, 4) * stats.sem(differences)
    assert of_l1.difference == pytest.approx(sum(differences) / 5)
    assert (of_l1.low, of_l1.high) == pytest.approx((of_l1.difference - reach, of_l1.difference + reach))
    ps = dict(zip(PAIRS, holm([p_of(*pair) for pair in PAIRS]), strict=True))
    assert {
        (name, of.other): of.p for name, row in rows.items() for of in row.against if of and (name, of.other) in ps
    } == (pytest.approx(ps))
    assert [of.told for of in rows["taylor"].against] == [False, True]
    assert [of.told for of in rows["wanda"].against] == [True, True]


def test_a_comparison_looks_the_same_from_both_sides(made):
    _, rows = rows_of(board(*made(APART)))
    forth, back = rows["random"].against[0], rows["l1"].against[1]
    assert (forth.other, back.other) == ("l1", "random")
    assert (forth.difference, forth.low, forth.high, forth.p) == (-back.difference, -back.high, -back.low, back.p)
    assert rows["l1"].against[0] is None


def test_ranks_are_from_one_more_than_are_better_to_as_many_as_are_not_worse(made):
    table, rows = rows_of(board(*made(APART)))
    assert table.ranked == 6
    assert ranks_of(rows) == {"wanda": (1, 1), "l1": (2, 3), "taylor": (2, 3), "random": (4, 4)}
    assert [row.criterion for row in table.rows] == ["wanda", "taylor", "l1", "random"]


def test_of_losses_less_is_better(made):
    _, rows = rows_of(board(*made(APART, metric="loss")))
    assert ranks_of(rows) == {"random": (1, 1), "l1": (2, 3), "taylor": (2, 3), "wanda": (4, 4)}
    assert rows["l1"].area is None


def test_what_spreads_may_have_any_rank_though_means_between_are_told_apart(made):
    spread = APART | {"taylor": (0.2, 0.99, 0.2, 0.99, 0.995)}
    table, rows = rows_of(board(*made(spread)))
    assert ranks_of(rows) == {"wanda": (1, 2), "l1": (2, 3), "taylor": (1, 4), "random": (3, 4)}
    assert [row.criterion for row in table.rows] == ["wanda", "l1", "taylor", "random"]


def test_what_differs_by_noise_may_have_any_rank(made):
    noise = {name: [0.8 + 0.01 * ((seed * k) % 3) for seed in SEEDS] for k, name in enumerate(APART, 1)}
    table, rows = rows_of(board(*made(noise)))
    assert set(ranks_of(rows).values()) == {(1, 4)}
    assert not any(of.told for row in table.rows for of in row.against if of)


def test_a_difference_of_no_spread_has_no_interval(made):
    same = {"l1": [0.8] * 5, "random": [0.5] * 5, "lamp": [0.8] * 5}
    _, rows = rows_of(board(*made(same)))
    of_l1, of_random = rows["lamp"].against
    assert (of_l1.difference, of_l1.p) == (0, 1)
    assert isnan(of_l1.low)
    assert not of_random.told  # five signs cannot


@pytest.mark.parametrize("together", ["budget", "study"])
def test_what_lacks_runs_is_corrected_for_all_the_same(made, together):
    family, curves = made(APART, together=together)
    partly = [curve for curve in curves if not curve.name.startswith("taylor")]
    (whole, _), (table, rows) = rows_of(board(family, curves)), rows_of(board(family, partly))
    assert (table.missing, table.absent, table.together) == (2, ("taylor",), 5)
    assert whole.missing == 0
    ps = holm([1.0 if "taylor" in pair else p_of(*pair) for pair in PAIRS])
    assert [of.p for of in rows["wanda"].against] == pytest.approx([ps[2], ps[4]])
    one_seed = [curve for curve in curves if curve.seed == 0]
    table, rows = rows_of(board(family, one_seed))
    assert table.missing == 5
    assert rows["l1"].against == (None, None)


def test_a_run_that_is_not_finished_is_not_compared(made):
    family, curves = made(APART)
    begun = replace(curves[0], steps=(0,), after=(0.9,))
    _, rows = rows_of(board(family, [begun, *curves[1:]]))
    assert rows["l1"].score.n == 4
    assert rows["taylor"].against[0].n == 4


def longer(curve):
    """A run that was gone on with, to a step in which all is lost."""
    axes = {axis: (*shares, 0.1) for axis, shares in curve.axes.items()}
    records = (*curve.records, curve.records[-1])
    columns = {name: (*getattr(curve, name), 0.1) for name in ("before", "after", "train_before", "train_after")}
    return replace(curve, steps=(0, 1, 2), tested=(100, 100, 100), records=records, axes=axes, **columns)


def test_runs_that_go_on_are_compared_after_the_steps_of_the_study_and_shorter_ones_are_not(made):
    family, curves = made(APART, lines=["none-0"])
    (cell,) = family.cells
    once = msgspec.structs.replace(family, cells=(msgspec.structs.replace(cell, steps=1),))
    assert board(once, [longer(curves[0]), *curves[1:-1], longer(curves[-1])]) == board(family, curves)
    assert board(msgspec.structs.replace(family, cells=(msgspec.structs.replace(cell, steps=2),)), curves).tables == ()


@pytest.mark.parametrize(("method", "axis"), [("structured", "MACs"), ("unstructured", "parameters")])
def test_areas_are_over_what_goes_down_to_what_all_reach(made, method, axis):
    table, rows = rows_of(board(*made(APART, method=method)))
    assert (table.axis, table.down_to) == (axis, 0.4)
    assert rows["l1"].area.mean == pytest.approx((0.9 + sum(APART["l1"]) / 5) / 2)
    assert rows["taylor"].area_against[0].difference == pytest.approx(rows["taylor"].against[0].difference / 2)
    assert isnan(rows["taylor"].area_against[0].p)


def test_controls_and_the_unpruned_model_stand_below(made):
    table, rows = rows_of(board(*made(APART, lines=("none-0", "none-1"))))
    assert [(line.name, line.score.n, line.score.mean) for line in table.lines] == [
        ("trained on, nothing removed", 2, 0.95),
        ("unpruned", 5, pytest.approx(0.9)),
    ]
    assert {name: row.seconds for name, row in rows.items()} == {name: len(name) for name in APART}


def test_it_says_what_fixed_its_comparisons(made):
    family, curves = made(APART)
    fixed = Fixed(date="2026-01-02", finished=0, runs=20, pairs=5, digest=family.digest, text="every one against l1")
    first, second = board(family, curves, [fixed], "mine.toml").told
    assert first == "5 comparisons of mine.toml, in 1 table: every one against l1."
    assert "before any run was finished" in second
    assert board(family, [], [fixed]).tables == ()
