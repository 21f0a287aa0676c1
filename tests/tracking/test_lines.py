"""Lines are numbered without gaps, and tell of an epoch and of a step."""

from __future__ import annotations

import pytest

from prunebench.records import Scores
from prunebench.tracking.lines import line_of_epoch, line_of_step, of_epoch, of_step


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_lines_of_a_run_are_numbered_in_the_order_in_which_they_happen(epochs):
    training = [
        *(line_of_epoch("train", 0, epoch, epochs) for epoch in range(epochs)),
        line_of_step("train", 0, epochs),
    ]
    assert training == list(range(epochs + 1))
    pruning = [line_of_step("prune", 0, epochs)]
    for step in (1, 2):
        pruning += [line_of_epoch("prune", step, epoch, epochs) for epoch in range(epochs)]
        pruning.append(line_of_step("prune", step, epochs))
    assert pruning == list(range(1 + 2 * (epochs + 1)))


def test_an_epoch_is_told_with_loss_metric_and_learning_rate():
    told = of_epoch(step=2, epoch=0, loss=0.5, metric="top1", score=0.75, lr=0.01)
    assert told == {"step": 2, "fit/epoch": 1, "fit/loss": 0.5, "fit/top1": 0.75, "fit/lr": 0.01}


def test_a_step_is_told_with_scores_costs_and_sparsity(make_record):
    record = make_record(2, validation=Scores.of(top1=(9, 10)), effective_macs=7)
    told = of_step(record, make_record(0))
    assert told["test/top1"] == record.test_after.top1
    assert told["test_before/top1"] == record.test_before.top1
    assert told["validation/top1"] == 0.9
    assert told["sparsity"] == 1 - record.nonzero_params / make_record(0).nonzero_params
    assert (told["macs"], told["effective_macs"], told["params"]) == (record.macs, 7, record.params)
    assert (told["loss"], told["seconds"]) == (0.25, 10.0)


def test_what_was_not_measured_is_not_told(make_record):
    told = of_step(make_record(0, loss=None), make_record(0))
    assert not {"loss", "effective_macs", "samples_seen", "test_before/top1"} & told.keys()
