"""Weights as they are, scored without a run."""

from __future__ import annotations

import msgspec

from prunebench.config import RunConfig
from prunebench.experiment.checks import check_trains
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.record import trained_record
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.undisturbed import undisturbed
from prunebench.records import Seconds, StepRecord
from prunebench.training.fit import Progress, Stop
from prunebench.training.state import StepState


def as_given(config: RunConfig) -> Experiment:
    """The experiment that takes the weights of a config as they are; raises ConfigError where there are none."""
    experiment = resolve(msgspec.structs.replace(config, epochs=0))
    check_trains(experiment)
    return experiment


@undisturbed
def score_given(experiment: Experiment, progress: Progress | None = None, stop: Stop | None = None) -> StepRecord:
    """The record of the weights that an experiment is given; nothing is trained or kept.

    Raises:
        ModelError: they do not fit, or have no classifier for the classes of the data.
    """
    setup = set_up(experiment, None, progress, stop)
    state = setup.fresh()
    test, train = setup.scores(state)
    scores = {"test_before": test, "train_before": train, "test_after": test, "train_after": train}
    told = {"seconds": Seconds(), "summary": setup.summary(pruned=False), "validation": setup.validation(state)}
    return trained_record(setup, StepState(0, state), **told, **scores)
