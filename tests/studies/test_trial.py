"""A trial is made in a process of its own, of each kind of run once, and of none that was measured."""

from __future__ import annotations

import pytest

from prunebench.experiment.pace import Pace
from prunebench.experiment.resolve import resolve
from prunebench.runs.index import all_runs
from prunebench.studies.estimates import estimate, untried
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.trial import try_out

NET = """
from torch import nn

def build(classes):
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
"""


@pytest.fixture
def planned(tiny_config):
    def make(**changes):
        return resolve(tiny_config(threads=1, iterations=2, **changes))

    return make


def test_in_a_process_of_its_own_runs_that_take_as_long_are_tried_once(tmp_path, tiny_config):
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    config = {"model": str(tmp_path / "net.py:build"), "dataset": "digits", "limit_train": 32, "limit_test": 16}
    runs = [resolve(tiny_config(threads=1, seed=seed, **config)) for seed in (0, 1)]
    found = try_out(runs)
    assert [found.get(each.run.key) for each in runs] == [found[runs[0].run.key]] * 2


def test_what_was_measured_is_not_tried_and_counts_before_a_trial(planned, tmp_path):
    runs = [planned(), planned(seed=1), planned(method="unstructured")]
    tried = {each.run.key: Pace(epoch=1.0, scoring=0.5, step=10.0, run=100.0) for each in runs}
    assert untried(runs, []) == runs
    before = estimate(runs, [], tried)
    assert (before.steps, before.tried, before.unknown) == (2 + 3 * 3, 2 + 3 * 3, 0)
    assert before.seconds == pytest.approx(2 * (2 * 1.0 + 0.5 + 100.0) + 3 * (2 * 10.0 + 100.0))
    assert all(do(job).fine for job in jobs_of(runs[:1]))
    measured = all_runs(tmp_path / "runs")
    assert untried(runs, measured) == runs[2:]
    after = estimate(runs, measured, tried)
    assert (after.tried, after.unknown) == (3, 0)  # the steps of another method
    assert after.seconds < before.seconds
