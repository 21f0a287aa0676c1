"""Whether a search has ended is read from what it kept."""

from __future__ import annotations

import pytest

from prunebench import seek
from prunebench.experiment.goals import parse
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import resolve
from prunebench.studies.stopping import done, timing_of


@pytest.fixture
def searched(tiny_config):
    """Makes an experiment that searches."""

    def make(*goals, **about):
        return resolve(tiny_config(until=goals, epochs=1, finetune_epochs=0, iterations=4, **about))

    return make


@pytest.mark.parametrize("goals", [("macs<=0.6",), ("params<=0.7", "macs<=0.9"), ("top1>=1.0",), ("top1>=0.01",)])
def test_a_search_has_ended_when_it_says_so_and_not_before(goals, searched):
    experiment = searched(*(goal.replace("1.0", "0.999") for goal in goals))
    assert not done(experiment.run, experiment)
    steps = seek(experiment, experiment.run)
    ended = [done(experiment.run, experiment) for _ in steps]
    assert ended[-1]
    assert not any(ended[:-2])


def test_a_latency_that_was_not_timed_is_not_known(searched):
    experiment = searched("latency@2<=1000ms")
    next(prune(experiment, experiment.run))
    assert not done(experiment.run, experiment)
    *_, answer = seek(experiment, experiment.run)
    assert answer.reached
    assert done(experiment.run, experiment)
    assert not done(experiment.run, experiment, "openvino")


def test_a_latency_is_timed_at_its_batch_size_alone():
    timing = timing_of(parse("latency@4<=0.5"), 3, "eager")
    assert (timing.batch_sizes, timing.steps, timing.backend) == ((4,), (3,), "eager")
