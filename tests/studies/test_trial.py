"""A trial tells how long runs take of which none was made yet, and keeps nothing."""

from __future__ import annotations

import pytest

from prunebench.experiment.resolve import resolve
from prunebench.runs.index import all_runs
from prunebench.studies.estimates import estimate, untried
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.trial import Batches, Tried, _try_all, try_out

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


def test_every_run_that_can_be_tried_is_told_of_and_nothing_is_kept(planned, tmp_path):
    def broken(weight):
        raise RuntimeError("not today")

    runs = [planned(), planned(seed=1), planned(method="unstructured", criterion="taylor"), planned(method="none")]
    found = list(_try_all([each.settings for each in [*runs, planned(criterion=broken)]]))
    assert found[-1] is None
    assert all(min(tried.epoch, tried.step, tried.run) > 0 for tried in found[:-1])
    assert not (tmp_path / "runs").exists()


def test_in_a_process_of_its_own_runs_that_take_as_long_are_tried_once(tmp_path, tiny_config):
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    config = {"model": str(tmp_path / "net.py:build"), "dataset": "digits", "limit_train": 32, "limit_test": 16}
    runs = [resolve(tiny_config(threads=1, seed=seed, **config)) for seed in (0, 1)]
    found = try_out(runs)
    assert [found.get(each.run.key) for each in runs] == [found[runs[0].run.key]] * 2


def test_a_longer_run_takes_longer_by_what_is_in_it(planned):
    class Setup:
        experiment = planned(finetune_epochs=3, batch_size=10, finetune_batch_size=20)

        class task:
            class targets:
                @staticmethod
                def some(part, count=None):
                    return range({"train": 61, "test": 25}[part])[:count]

        @staticmethod
        def retraining():
            from prunebench.training.policies import tuned_recipe

            return tuned_recipe(Setup.experiment.settings)

    tried = Batches(training=1.0, tuning=2.0, sample=0.5, run=7.0, setup=Setup()).tried(pruning=4.0)
    assert tried == Tried(epoch=7 * 1.0, step=4.0 + 2 * 86 * 0.5 + 3 * 4 * 2.0, run=7.0 + 86 * 0.5)


def test_what_was_measured_is_not_tried_and_counts_before_a_trial(planned, tmp_path):
    runs = [planned(), planned(seed=1), planned(method="unstructured")]
    tried = {each.run.key: Tried(epoch=1.0, step=10.0, run=100.0) for each in runs}
    assert untried(runs, []) == runs
    before = estimate(runs, [], tried)
    assert (before.steps, before.tried, before.unknown) == (2 + 3 * 3, 2 + 3 * 3, 0)
    assert before.seconds == pytest.approx(2 * (2 * 1.0 + 100.0) + 3 * (2 * 10.0 + 100.0))
    assert all(do(job).fine for job in jobs_of(runs[:1]))
    measured = all_runs(tmp_path / "runs")
    assert untried(runs, measured) == runs[2:]
    after = estimate(runs, measured, tried)
    assert (after.tried, after.unknown) == (3, 0)  # the steps of another method
    assert after.seconds < before.seconds
