"""Damage as figures: rows by class and kind, corrected for their number, from answers that are written down."""

from __future__ import annotations

import numpy as np
import pytest

from prunebench.errors import RunError
from prunebench.records import Scores
from prunebench.results.damage import damage_of, fewest_and_most, step_of
from prunebench.results.damage_tables import of_counts, told
from prunebench.statistics import mcnemar, paired_change, wilson


@pytest.fixture
def record(make_damage):
    """Forty samples of each of two classes, of which the pruned model loses twelve of the first and gains one of the
    second; one answer moves from wrong to wrong."""
    labels = np.repeat([0, 1], 40)
    dense, pruned = labels.copy(), labels.copy()
    pruned[:12] = 1
    dense[40] = 0
    dense[41], pruned[41] = 0, 2
    return make_damage(labels, dense, pruned, kinds={"tokens": np.tile([4, 5, 6, 7], 20)})


def test_a_class_has_its_counts_and_intervals_corrected_for_the_number_of_classes(record):
    found = damage_of(record)
    first, second = found.classes
    assert (first.name, first.samples, first.lost, first.gained) == ("a", 40, 12, 0)
    assert (second.name, second.samples, second.lost, second.gained) == ("b", 40, 0, 1)
    assert (first.pruned.figure, first.pruned.low, first.pruned.high) == (28 / 40, *wilson(28 / 40, 40))
    assert (first.change.low, first.change.high) == paired_change(12, 0, 40, 2)
    assert (first.p, second.p) == (2 * mcnemar(12, 0), 1)
    assert (first.told, second.told) == (True, False)


def test_churn_is_what_changed_and_needless_what_accuracy_did_not_need(record):
    churn = damage_of(record).churn
    assert churn.churn.figure == 14 / 80
    assert (churn.lost, churn.gained, churn.moved) == (12 / 80, 1 / 80, 1 / 80)
    assert churn.needless == (14 - 11) / 80


def test_kinds_are_quarters_and_equal_figures_stay_together(record):
    rows = [row for row in damage_of(record).kinds if row.of == "tokens"]
    assert [(row.name, row.samples) for row in rows] == [(f"{n} to {n}", 20) for n in (4, 5, 6, 7)]
    assert sum(row.lost for row in rows) == 12


def test_confidences_that_are_no_numbers_are_told(make_damage):
    labels = np.array([0, 1, 0])
    found = damage_of(make_damage(labels, labels, labels, confidence=np.array([0.5, np.nan, 0.9])))
    assert (found.calibration, found.overconfidence, found.kinds) == (None, None, ())


def test_text_says_which_classes_really_lost_and_names_samples(record):
    text = told(damage_of(record), record)
    assert "Really lost: a." in text
    assert "churn 17.5 %" in text
    assert "(12 samples were lost in any)" in text


def test_of_counts_alone_the_least_and_the_most_are_known(make_record):
    assert fewest_and_most(Scores.of(top1=(90, 100)), Scores.of(top1=(85, 100))) == ((5, 15), (0, 10))
    assert "2 to 22 of them went from right to wrong, and 0 to 20" in of_counts(make_record(0), make_record(2))


def test_the_step_is_the_last_one_unless_the_run_has_not_ended(make_record, commit, tmp_path):
    from prunebench.runs.index import identify
    from prunebench.runs.run import Run

    config = {"model": "tiny", "method": "structured", "iterations": 3}
    run = Run(tmp_path, identify("prune", config, config, {}))
    commit(run, make_record(0), make_record(1), make_record(2))
    assert (step_of(run, None, True), step_of(run, 1, False)) == (2, 1)
    for step, ended, words in (
        (None, False, "stopped at step 2 of 3"),
        (7, True, "no step 7"),
        (0, True, "dense model itself"),
    ):
        with pytest.raises(RunError, match=words):
            step_of(run, step, ended)
