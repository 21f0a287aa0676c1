"""The record of a step: sizes before and after are those of the model itself, and scores those that were found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prunebench.experiment.loop import SCORES
from prunebench.experiment.record import step_record, trained_record
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models.costs import macs, params
from prunebench.records import Scores, Seconds
from prunebench.training.state import StepState

FOUND = {name: Scores.of(top1=(number, 25)) for number, name in enumerate(SCORES)}


@pytest.fixture
def setup(tiny_config):
    """Makes the setup of a tiny run, and the state that it begins with."""

    def make(**changes):
        made = set_up(resolve(tiny_config(fraction=0.5, **changes)))
        return made, StepState(0, made.fresh(), mean_loss=0.25)

    return make


def test_the_record_of_a_training_names_no_method_and_has_every_layer(setup):
    made, state = setup(model="resnet18", dataset="digits", limit_train=20, limit_test=10, image_size=32)
    record = trained_record(made, state, seconds=Seconds(finetune=2.0), **FOUND)
    assert (record.method, record.criterion, record.fraction, record.nominal_left) == ("dense", "none", 0.0, 1.0)
    assert (record.model, record.dataset, record.seed, record.step, record.units) == ("resnet18", "digits", 0, 0, ())
    assert (record.loss, record.seconds.finetune, record.run) == (0.25, 2.0, "")
    assert {name: getattr(record, name) for name in SCORES} == FOUND
    model = state.checkpoint.model
    assert record.params == record.nonzero_params == params(model)
    assert record.macs == macs(model, made.task.inputs)
    assert record.prunable_weights == record.prunable_weights_masked == record.prunable_weights_left
    assert all(layer.shape == layer.shape_original for layer in record.layers)


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_the_record_of_a_step_counts_from_the_first_and_from_the_step_before(method, setup):
    made, state = setup(method=method)
    about = {"seconds": Seconds(), **FOUND}
    records = [first := step_record(made, state, None, **about)]
    for step in (1, 2):
        request = made.request(step)
        before = made.experiment.method.count(state.checkpoint.model, state.checkpoint.masks, request)
        pruned = made.experiment.method.prune(state.checkpoint.model, state.checkpoint.masks, request)
        state = StepState(step, replace(state.checkpoint, masks=pruned.masks), before, notes=("a remark",))
        records.append(step_record(made, state, first, **about))
    assert [(record.method, record.fraction, record.nominal_left) for record in records] == [
        (method, 0.5, 0.5**step) for step in range(3)
    ]
    units = [record.units[0] for record in records]
    assert {unit.original for unit in units} == {units[0].left}
    assert [unit.before for unit in units] == [units[0].left, units[0].left, units[1].left]
    assert units[0].left > units[1].left > units[2].left
    assert [layer.shape_original for layer in records[2].layers] == [layer.shape for layer in first.layers]
    assert [record.notes for record in records] == [(), ("a remark",), ("a remark",)]
    assert (records[2].nonzero_params < records[2].params) == (method == "unstructured")
    assert [record.loss for record in records] == [0.25, None, None]


def test_effective_macs_fall_with_masks_alone(setup):
    for method in ("structured", "unstructured"):
        made, state = setup(method=method)
        request = made.request(1)
        pruned = made.experiment.method.prune(state.checkpoint.model, state.checkpoint.masks, request)
        first = step_record(made, state, None, seconds=Seconds(), **FOUND)
        assert first.effective_macs <= first.macs
        left = method == "structured"
        state = StepState(1, replace(state.checkpoint, masks=pruned.masks), {unit.kind: 1 for unit in first.units})
        record = step_record(made, state, first, seconds=Seconds(), **FOUND)
        assert (record.effective_macs == record.macs) is left
        assert 0 < record.effective_macs < 0.8 * first.macs or left


def test_layers_that_have_died_are_told_in_the_record(setup):
    made, state = setup()
    state.checkpoint.model.features[0].weight.data.zero_()
    record = step_record(made, state, None, seconds=Seconds(), **FOUND)
    dead = {layer.name: layer.collapsed for layer in record.layers if layer.collapsed}
    assert "features.0" in dead
