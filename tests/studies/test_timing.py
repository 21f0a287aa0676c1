"""A study times one run of each kind, once."""

from __future__ import annotations

import pytest

from prunebench import EfficiencyConfig
from prunebench.experiment.resolve import resolve
from prunebench.studies.jobs import do, jobs_of
from prunebench.studies.timing import time_study, untimed


@pytest.fixture
def planned(tiny_config):
    """Two seeds, another criterion, and a control, all finished."""
    about = [{"seed": 0}, {"seed": 1}, {"criterion": "random"}, {"method": "none"}]
    found = [resolve(tiny_config(threads=1, iterations=1, epochs=1, **each)) for each in about]
    assert all(do(job).fine for job in jobs_of(found))
    return found


def test_runs_that_take_as_long_are_timed_once_on_every_backend_and_not_again(planned):
    timings = [EfficiencyConfig(backend=name, batch_sizes=(2,), time_budget=0.2) for name in ("eager", "channels-last")]
    found = list(time_study(planned, timings))
    first = planned[0].run
    assert [(timed.key, timed.backend, timed.others, timed.new, timed.error) for timed in found] == [
        (first.key, "eager, fp32", 2, True, ""),
        (first.key, "channels-last, fp32", 2, True, ""),
    ]
    assert len(list(first.folder.glob("*_efficiency.json"))) == 2
    assert not any(list(each.run.folder.glob("*_efficiency.*")) for each in planned[1:])
    assert [timed.new for timed in time_study(planned, timings)] == [False, False]


def test_a_backend_that_cannot_run_is_told_and_the_others_go_on(planned):
    timings = [
        EfficiencyConfig(image_size=1, batch_sizes=(2,), time_budget=0.2),
        EfficiencyConfig(batch_sizes=(2,), time_budget=0.2),
    ]
    wrong, right = time_study(planned, timings)
    assert wrong.error != ""
    assert not wrong.new
    assert (right.new, right.error) == (True, "")


def test_what_is_not_finished_is_not_timed(tiny_config):
    assert list(time_study([resolve(tiny_config(threads=1))], [EfficiencyConfig()])) == []


def test_what_is_still_to_be_timed_is_told(planned, tiny_config):
    timings = [EfficiencyConfig(backend=name, batch_sizes=(2,), time_budget=0.2) for name in ("eager", "channels-last")]
    assert untimed(planned, timings) == timings
    list(time_study(planned, timings[:1]))
    assert untimed(planned, timings) == timings[1:]
    assert untimed([resolve(tiny_config(threads=1, method="unstructured"))], timings) == timings
