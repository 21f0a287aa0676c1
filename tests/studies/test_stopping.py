"""Whether a search has ended is read from what it kept."""

from __future__ import annotations

import pytest

from prunebench import pruning_run, seek
from prunebench.experiment.goals import parse
from prunebench.experiment.loop import prune
from prunebench.experiment.resolve import resolve
from prunebench.studies.stopping import done, timing_of


@pytest.fixture
def searched(tiny_config):
    """Makes a resolved config that searches, and its run."""

    def make(*goals, **about):
        config = resolve(tiny_config(until=goals, epochs=1, finetune_epochs=0, iterations=4, **about))
        return config, pruning_run(config)

    return make


@pytest.mark.parametrize("goals", [("macs<=0.6",), ("params<=0.7", "macs<=0.9"), ("top1>=1.0",), ("top1>=0.01",)])
def test_a_search_has_ended_when_it_says_so_and_not_before(goals, searched):
    config, run = searched(*(goal.replace("1.0", "0.999") for goal in goals))
    assert not done(run, config)
    steps = seek(config, run)
    ended = [done(run, config) for _ in steps]
    assert ended[-1]
    assert not any(ended[:-2])


def test_a_latency_that_was_not_timed_is_not_known(searched):
    config, run = searched("latency@2<=1000ms")
    next(prune(config, run))
    assert not done(run, config)
    *_, answer = seek(config, run)
    assert answer.reached
    assert done(run, config)
    assert not done(run, config, "openvino")


def test_a_latency_is_timed_at_its_batch_size_alone():
    timing = timing_of(parse("latency@4<=0.5"), 3, "eager")
    assert (timing.batch_sizes, timing.steps, timing.backend) == ((4,), (3,), "eager")
