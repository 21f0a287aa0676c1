"""A few batches tell how long runs take of which none was made yet, and nothing is kept."""

from __future__ import annotations

import pytest

from prunebench.experiment.pace import Batches, Pace, paces
from prunebench.experiment.resolve import resolve
from prunebench.training.policies import tuned_recipe


@pytest.fixture
def planned(tiny_config):
    def make(**changes):
        return resolve(tiny_config(**{"threads": 1, "iterations": 2, **changes}))

    return make


def test_every_run_that_can_be_tried_is_told_of_and_nothing_is_kept(planned, tmp_path):
    def broken(weight):
        raise RuntimeError("not today")

    runs = [planned(), planned(seed=1), planned(method="unstructured", criterion="taylor"), planned(method="none")]
    found = list(paces([each.settings for each in [*runs, planned(criterion=broken)]]))
    assert found[-1] is None
    assert all(min(pace.epoch, pace.scoring, pace.step, pace.run) > 0 for pace in found[:-1])
    assert not (tmp_path / "runs").exists()


def test_of_runs_that_train_no_epoch_it_is_not_told_how_long_those_of_others_take(planned):
    settings = {"method": "none", "iterations": 1}
    none, one, three = (planned(**settings, epochs=n, finetune_epochs=n).settings for n in (0, 1, 3))
    first, second, third = paces([none, one, three])
    assert first.epoch == 0 < second.epoch == third.epoch
    assert second.step < third.step


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
            return tuned_recipe(Setup.experiment.settings)

    tried = Batches(training=1.0, tuning=2.0, sample=0.5, run=7.0, setup=Setup()).pace(pruning=4.0)
    assert tried == Pace(epoch=7 * 1.0, scoring=86 * 0.5, step=4.0 + 2 * 86 * 0.5 + 3 * 4 * 2.0, run=7.0)
